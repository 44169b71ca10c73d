import { join } from 'node:path';
import { Fault } from '../domain/fault.ts';
import { expected, type Tool } from './tool.ts';

/** Disk images from the trees of container images: `mke2fs`, and `debugfs` for what it leaves out. */
export const e2fsprogs: Tool = {
  program: 'mke2fs',
  package: 'e2fsprogs',
  need: 'volumes',
  async trial({ run, files, directory, limits }) {
    const tree = join(directory, 'tree');
    const disk = join(directory, 'disk');
    await files.makeDirectory(tree, 0o755);
    await files.write(join(tree, 'file'), 'flintlock trial of mke2fs');
    const make = (extended: string): Promise<string> =>
      run(
        [
          'mke2fs',
          ...['-q', '-F', '-t', 'ext4', '-b', '4096', '-m', '1', '-N', '64'],
          ...['-E', `${extended},root_owner=7:8,offset=1048576`, '-d', tree, disk, '4m'],
        ],
        limits,
      );
    try {
      await make('assume_storage_prezeroed=1');
    } catch (error) {
      if (!(error instanceof Fault) || error.kind !== 'tool') throw error;
      await make('lazy_itable_init=1,lazy_journal_init=1'); // below 1.46.6
    }
    const made = Buffer.from((await files.read(disk)) ?? []);
    const isExt4 = made[(1 << 20) + 1024 + 56] === 0x53 && made.includes('flintlock trial of mke2fs');
    expected('mke2fs made no ext4 file system of the tree that it was given', isExt4);
    const at = `${disk}?offset=1048576`;
    await run(['debugfs', '-w', '-R', 'set_inode_field <2> mode 040700', at], limits);
    // It ends with status 0 whatever happened.
    const root = await run(['debugfs', '-R', 'stat <2>', at], limits);
    expected('debugfs did not set the mode of a directory', /Mode:\s+0700/.test(root));
    expected('mke2fs did not set the owner of the root', /User:\s+7\s+Group:\s+8/.test(root));
  },
};

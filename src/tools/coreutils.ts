import { join } from 'node:path';
import { Fault } from '../domain/fault.ts';
import { expected, type Tool } from './tool.ts';

/** Sparse copies of disks, with what else of its package disks need. Busybox's lacks some of these flags. */
export const coreutils: Tool = {
  program: 'cp',
  package: 'coreutils',
  need: 'volumes',
  version: ['--version'],
  async trial({ run, files, directory, limits }) {
    const from = join(directory, 'from');
    const to = join(directory, 'to');
    await files.write(from, 'trial');
    await run(['truncate', '--size=1M', from], limits);
    await run(['truncate', '--size', '1024K', from], limits);
    await run(['cp', '--sparse=always', '--reflink=auto', '--', from, to], limits);
    const copied = Buffer.from((await files.read(to)) ?? []);
    expected('cp made another file than it was given', copied.length === 1 << 20 && copied.indexOf('trial') === 0);
    const owner = await run(['stat', '--format=%u:%g', '--', directory], limits);
    expected(`stat said ${owner.trim()} for an owner`, /^\d+:\d+\s*$/.test(owner));
    await run(['readlink', '/proc/self/ns/net'], limits);
    await run(['cat', '/proc/sys/kernel/ostype'], limits);
  },
};

/** Counts what an image unpacks to. */
export const du: Tool = {
  program: 'du',
  package: 'coreutils',
  need: 'each',
  version: ['--version'],
  async trial({ run, files, directory, limits }) {
    const file = join(directory, 'file');
    await files.write(file, 'trial');
    const count = await run(['du', '--summarize', '--inodes', '--', directory], limits);
    expected(`du counted ${count.trim()} where there are 2`, /^2\s/.test(count));
    await run(['du', '--inodes', '--separate-dirs', '--null', '--threshold=2', '--', directory], limits);
  },
};

/** Sees to it that what an image unpacked to is on the disk. */
export const sync: Tool = {
  program: 'sync',
  package: 'coreutils',
  need: 'each',
  version: ['--version'],
  async trial({ run, files, directory, limits }) {
    const file = join(directory, 'file');
    await files.write(file, 'trial');
    await run(['sync', file], limits);
    await run(['sync', '--file-system', '/proc'], limits); // not the disk's: that may take minutes
    // What it does is not to be seen; whether it tries is.
    const isRefused = await run(['sync', join(directory, 'none')], limits).then(
      () => false,
      () => true,
    );
    expected('sync took a file that is not there', isRefused);
  },
};

/** Frees the beginning of a console's file: without it that grows on the disk. */
export const fallocate: Tool = {
  program: 'fallocate',
  package: 'util-linux',
  need: 'none',
  version: ['--version'],
  async trial({ run, files, directory, limits }) {
    const file = join(directory, 'file');
    await files.write(file, new Uint8Array(64 << 10));
    try {
      await run(['fallocate', '--punch-hole', '--offset', '0', '--length', '4096', '--', file], limits);
    } catch (error) {
      // The file system of /tmp may not be able to; that of the state directory may.
      if (!(error instanceof Fault) || !/not supported/i.test(error.message)) throw error;
    }
  },
};

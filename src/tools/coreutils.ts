import { join } from 'node:path';
import { expected, type Tool } from './tool.ts';

/** Copies, sizes and counts: `cp` and its siblings. Those of busybox lack some of these flags. */
export const coreutils: Tool = {
  program: 'cp',
  package: 'coreutils',
  need: 'each',
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
    const count = await run(['du', '--summarize', '--inodes', '--', directory], limits);
    expected(`du counted ${count.trim()} where there are 3`, /^3\s/.test(count));
    await run(['du', '--inodes', '--separate-dirs', '--null', '--threshold=2', '--', directory], limits);
    const owner = await run(['stat', '--format=%u:%g', '--', directory], limits);
    expected(`stat said ${owner.trim()} for an owner`, /^\d+:\d+\s*$/.test(owner));
    await run(['sync', to], limits);
    await run(['sync', '--file-system', '/proc'], limits); // not the disk's: that may take minutes
    await run(['readlink', '/proc/self/ns/net'], limits);
    await run(['cat', '/proc/sys/kernel/ostype'], limits);
  },
};

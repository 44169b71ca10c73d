import { join } from 'node:path';
import { expected, type Tool } from './tool.ts';

/** Partition tables. */
export const sfdisk: Tool = {
  program: 'sfdisk',
  package: 'fdisk',
  need: 'partitions',
  version: ['--version'],
  async trial({ run, files, directory, limits }) {
    const disk = join(directory, 'disk');
    await files.write(disk, new Uint8Array(4 << 20));
    const uuid = 'F11A71F1-0000-4000-8000-000000000001';
    const input = `label: gpt\nstart=2048, size=4096, type=linux, uuid=${uuid}\n`;
    await run(['sfdisk', '--quiet', '--no-reread', '--no-tell-kernel', disk], { ...limits, input });
    const head = Buffer.from((await files.read(disk, { maxBytes: 4096 })) ?? []);
    expected('sfdisk made no GPT where it was asked for one', head.indexOf('EFI PART') === 512);
  },
};

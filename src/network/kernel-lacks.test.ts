import { expect, test } from 'vitest';
import { Fault } from '../domain/fault.ts';
import { kernelExplained } from './kernel-lacks.ts';

const files = (modules: readonly string[]) => ({
  read: async () => Buffer.from('6.1.0-57-amd64\n'),
  list: async () => modules,
});
const limits = { signal: new AbortController().signal, timeoutMs: 1 };
const failing = (words: string) => () => Promise.reject(new Fault('tool', words));

test.for([
  [
    ['6.1.0-58-amd64'],
    /Unknown device type\. The modules of the running kernel 6\.1\.0-57-amd64 are not on this host \(those of 6\.1\.0-58-amd64 are\): reboot$/,
  ],
  [['6.1.0-57-amd64'], /The running kernel 6\.1\.0-57-amd64 cannot: load the module that is missing/],
  [[], /boot a kernel that has what is missing$/],
] as const)('of a kernel with the modules of %s', async ([modules, says]) => {
  const run = kernelExplained(failing('Error: Unknown device type'), files(modules));
  await expect(run(['ip', 'link'], limits)).rejects.toThrow(says);
});

test('what is something else stays as it is', async () => {
  const run = kernelExplained(failing('Cannot find device'), files([]));
  await expect(run(['ip', 'link'], limits)).rejects.toThrow(/^Cannot find device$/);
});

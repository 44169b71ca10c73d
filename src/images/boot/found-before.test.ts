import { beforeEach, expect, test, vi } from 'vitest';
import type { FileInfo } from '../../ports/host.ts';
import type { FoundBootFiles } from './boot-files.ts';
import { FoundBefore } from './found-before.ts';
import { NOT_YET } from './look-into.ts';

let stamps: Map<string, string>;
let before: FoundBefore;
const found = (unseen?: string): FoundBootFiles => ({
  kernel: {
    ...{ filename: 'vmlinuz', path: '/tree/vmlinuz', sizeBytes: 1 },
    kind: { is: 'other', what: 'a kernel' } as never,
    facts: unseen === undefined ? {} : { unseen },
  },
});

beforeEach(() => {
  stamps = new Map([['/tree/vmlinuz', '1:2:3:4']]);
  before = new FoundBefore({
    stat: async (path) => {
      const stamp = stamps.get(path);
      return stamp === undefined ? undefined : ({ kind: 'file', stamp } as FileInfo);
    },
  });
});

test('the same is searched once; another name, or another tree, by itself', async () => {
  const search = vi.fn(async () => found());
  for (const tree of ['/tree', '/tree', '/other']) await before.find(tree, { kernel: {} }, search);
  await before.find('/tree', { kernel: { filename: 'vmlinuz' } }, search);
  await before.find('/tree', { initrd: { releases: ['6.1'] } }, search);
  await before.find('/tree', { initrd: { releases: ['6.12'] } }, search);
  expect(search).toHaveBeenCalledTimes(5);
});

test.each([
  ['is another one', '1:2:3:5'],
  ['is gone', undefined],
])('it is searched anew when a file that was found %s', async (_, stamp) => {
  const search = vi.fn(async () => found());
  await before.find('/tree', { kernel: {} }, search);
  if (stamp === undefined) stamps.clear();
  else stamps.set('/tree/vmlinuz', stamp);
  await before.find('/tree', { kernel: {} }, search);
  expect(search).toHaveBeenCalledTimes(2);
});

test('what could not be seen for want of something on the host is searched anew, and so is what failed', async () => {
  const search = vi.fn(async () => found(`xz is not installed ${NOT_YET}`));
  for (let i = 0; i < 2; i++) await before.find('/tree', { kernel: {} }, search);
  expect(search).toHaveBeenCalledTimes(2);
  const failing = vi.fn(async () => Promise.reject(new Error('none')));
  for (let i = 0; i < 2; i++) await expect(before.find('/tree', { initrd: {} }, failing)).rejects.toThrow('none');
  expect(failing).toHaveBeenCalledTimes(2);
});

import { expect, test } from 'vitest';
import { bootNotes, partitionNotes } from './boot-notes.ts';
import type { KernelPart } from './kernel-facts.ts';

const kernel = (...parts: readonly KernelPart[]) => ({
  filename: 'vmlinuz',
  release: '6.1',
  facts: { release: '6.1.0', parts },
});

test('of files that fit each other nothing is said', () => {
  expect(
    bootNotes({ kernel: kernel('unpacks gzip'), initrd: { filename: 'i', release: '6.1.0', packed: 'gzip' } }),
  ).toEqual([]);
  expect(bootNotes({ kernel: kernel(), initrd: { filename: 'i', packed: 'lz4' } })).toEqual([]);
  const unseen = { filename: 'vmlinuz', facts: { unseen: 'x' } };
  expect(bootNotes({ kernel: unseen, initrd: { filename: 'i', release: '5.10', packed: 'xz' } })).toEqual([]);
  expect(bootNotes({})).toEqual([]);
});

test('what may not fit is said, also where the kernel is of another image', () => {
  const initrd = { filename: 'boot/initrd.img-6.2', release: '6.2', packed: 'xz' };
  const said = [
    'Initrd boot/initrd.img-6.2 is of another release than the kernel, 6.1: its modules may not fit.',
    'Initrd boot/initrd.img-6.2 is packed with xz, and the kernel does not unpack that (CONFIG_RD_XZ).',
  ];
  expect(bootNotes({ kernel: kernel('unpacks gzip'), initrd })).toEqual(said);
  expect(bootNotes({ initrd }, kernel('unpacks gzip'))).toEqual(said);
});

test('a kernel that was given an entry point is named', () => {
  expect(bootNotes({ kernel: { ...kernel(), fitted: true } })).toEqual([
    'Kernel vmlinuz has no PVH entry point: it is started through one that was put before it.',
  ]);
});

test('a partition that the kernel will not find is told of, where its bytes say so', () => {
  const volumes = [{ id: 'root', partitionId: '6c1f1a1e-0000-4000-8000-000000000001' }, { id: 'data' }];
  expect(partitionNotes({ readsGpt: false }, volumes)).toEqual([
    expect.stringMatching(/^Volume root has a partition_id, and the kernel reads no GPT \(CONFIG_EFI_PARTITION\)/),
  ]);
  expect(partitionNotes({ readsGpt: true }, volumes)).toEqual([]);
  expect(partitionNotes({ unseen: 'it is packed with lzo' }, volumes)).toEqual([]);
});

import { expect, test } from 'vitest';
import { fakeFiles } from '../../test/support/fake-files.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import type { DiskFormat } from '../domain/capabilities.ts';
import { Fault } from '../domain/fault.ts';
import type { Files } from '../ports/host.ts';
import { chooseVolumes } from './copies.ts';

const BOTH: readonly DiskFormat[] = ['qcow2', 'raw'];
const RAW: readonly DiskFormat[] = ['raw'];

const signal = new AbortController().signal;
const refuses = async (): Promise<void> => {
  throw new Fault('refused', 'no reflinks');
};

function host(copy: Files['copy'], writeSparse: Files['writeSparse'] = async () => undefined) {
  const calls: string[] = [];
  const note =
    <A extends readonly unknown[], R>(name: string, act: (...args: A) => R) =>
    (...args: A): R => {
      calls.push(`${name} ${args.filter((a) => typeof a === 'string').join(' ')}`);
      return act(...args);
    };
  const none = async (): Promise<void> => undefined;
  const files: Files = {
    ...fakeFiles({ '/g': 'a disk image' }),
    ...{ write: note('write', none), remove: note('remove', none), rename: note('rename', none) },
    copy: note('copy', copy),
    writeSparse: note('writeSparse', writeSparse),
  };
  const log = memoryLog();
  const choose = () => chooseVolumes({ directory: '/d', files, log, signal });
  return { calls, log, choose };
}

test('reflinks are taken where there are some, whatever the VMM takes', async () => {
  const { choose } = host(async () => undefined);
  expect((await choose()).kindFor(BOTH)).toBe('reflink');
  expect((await choose()).kindFor(RAW)).toBe('reflink');
});

test('else an overlay where the VMM takes one, else a sparse copy', async () => {
  const volumes = await host(refuses).choose();
  expect(volumes.kindFor(BOTH)).toBe('qcow2');
  expect(volumes.kindFor(RAW)).toBe('sparse');
});

test('each VMM gets what it takes, and a copy is what its name says', async () => {
  const { choose, calls } = host(refuses);
  const volumes = await choose();
  expect(volumes.pathFor('/d', 0, BOTH)).toBe('/d/disk0.qcow2');
  expect(volumes.pathFor('/d', 0, RAW)).toBe('/d/disk0.img');
  const whole = host(async () => undefined);
  calls.length = 0;
  const plain = await (await whole.choose()).make({ path: '/g', sizeInMb: 2 }, '/d/disk0.img', signal);
  expect(plain).toEqual({ path: '/d/disk0.img', format: 'raw', sizeInMb: 2 });
  expect(whole.calls).toContain('copy /g /d/disk0.img.partial reflink');
});

test('a directory that cannot be written is no file system without reflinks', async () => {
  const { choose } = host(async () => {
    throw new Fault('tool', 'Cannot write: read-only');
  });
  await expect(choose()).rejects.toThrow('read-only');
});

test('a full disk does not keep the daemon from its start: what cannot be tried is not used', async () => {
  const { choose, log, calls } = host(async () => {
    throw new Fault('full', 'no space left on the disk', { reason: 'StorageFull' });
  });
  expect((await choose()).kindFor(BOTH)).toBe('qcow2');
  expect(log.lines.map((line) => line.level)).toContain('warn');
  expect(calls.filter((call) => call.startsWith('remove'))).toHaveLength(3); // before, and both after
});

test('a copy is made beside its place and then moved', async () => {
  const { choose, calls } = host(refuses);
  const volumes = await choose();
  calls.length = 0;
  await volumes.make({ path: '/g', sizeInMb: 2 }, '/d/disk0.qcow2', signal);
  expect(calls).toEqual(['writeSparse /d/disk0.qcow2.partial', 'rename /d/disk0.qcow2.partial /d/disk0.qcow2']);
});

test('a full disk is told as such, and the half copy goes', async () => {
  const { choose, calls } = host(refuses, async () => {
    throw new Fault('full', 'no space');
  });
  const volumes = await choose();
  await expect(volumes.make({ path: '/g', sizeInMb: 2 }, '/d/disk0.qcow2', signal)).rejects.toMatchObject({
    kind: 'full',
    reason: 'StorageFull',
    terminal: false,
  });
  expect(calls.at(-1)).toBe('remove /d/disk0.qcow2.partial');
});

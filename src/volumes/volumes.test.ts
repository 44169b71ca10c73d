import { expect, test } from 'vitest';
import { fakeFiles } from '../../test/support/fake-files.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { Fault } from '../domain/fault.ts';
import type { Files, Run } from '../ports/host.ts';
import { chooseVolumes } from './volumes.ts';

const signal = new AbortController().signal;
const refuses = async (): Promise<void> => {
  throw new Fault('refused', 'no reflinks');
};

function host(copy: Files['copy'], run: Run = async () => '') {
  const calls: string[] = [];
  const note =
    <A extends readonly unknown[], R>(name: string, act: (...args: A) => R) =>
    (...args: A): R => {
      calls.push(`${name} ${args.filter((a) => typeof a === 'string').join(' ')}`);
      return act(...args);
    };
  const none = async (): Promise<void> => undefined;
  const files: Files = {
    ...fakeFiles({}),
    ...{ write: note('write', none), remove: note('remove', none), rename: note('rename', none) },
    copy: note('copy', copy),
  };
  const log = memoryLog();
  const noted: Run = async (argv, limits) => {
    calls.push(argv.join(' '));
    return run(argv, limits);
  };
  const choose = (allowQcow2: boolean) =>
    chooseVolumes({ directory: '/d', run: noted, files, log, allowQcow2, signal });
  return { calls, log, choose };
}

test('reflinks are taken where there are some, whatever else is allowed', async () => {
  const { choose } = host(async () => undefined);
  expect((await choose(true)).kind).toBe('reflink');
  expect((await choose(false)).kind).toBe('reflink');
});

test('else an overlay where it is allowed and qemu-img runs, else a sparse copy', async () => {
  expect((await host(refuses).choose(true)).kind).toBe('qcow2');
  expect((await host(refuses).choose(false)).kind).toBe('sparse');
  const without = host(refuses, async () => {
    throw new Fault('tool', 'Cannot run qemu-img: it is not installed or not in PATH');
  });
  expect((await without.choose(true)).kind).toBe('sparse');
  expect(without.log.lines.map((line) => line.level)).toContain('warn');
});

test('a directory that cannot be written is no file system without reflinks', async () => {
  const { choose } = host(async () => {
    throw new Fault('tool', 'Cannot write: read-only');
  });
  await expect(choose(true)).rejects.toThrow('read-only');
});

test('a full disk does not keep the daemon from its start: what cannot be tried is not used', async () => {
  const { choose, log, calls } = host(async () => {
    throw new Fault('full', 'no space left on the disk', { reason: 'StorageFull' });
  });
  expect((await choose(true)).kind).toBe('qcow2');
  expect(log.lines.map((line) => line.level)).toContain('warn');
  expect(calls.filter((call) => call.startsWith('remove'))).toHaveLength(3); // before, and both after
});

test('a copy is made beside its place and then moved', async () => {
  const { choose, calls } = host(refuses);
  const volumes = await choose(true);
  calls.length = 0;
  await volumes.make({ path: '/g', sizeInMb: 2 }, '/d/disk0.qcow2', signal);
  expect(calls).toEqual([
    'remove /d/disk0.qcow2.partial',
    'qemu-img create -q -f qcow2 -F raw -b /g /d/disk0.qcow2.partial 2097152',
    'rename /d/disk0.qcow2.partial /d/disk0.qcow2',
  ]);
});

test('a full disk is told as such, and the half copy goes', async () => {
  const { choose, calls } = host(refuses, async (argv) => {
    if (argv[1] === 'create') throw new Fault('full', 'no space');
    return '';
  });
  const volumes = await choose(true);
  await expect(volumes.make({ path: '/g', sizeInMb: 2 }, '/d/disk0.qcow2', signal)).rejects.toMatchObject({
    kind: 'full',
    reason: 'StorageFull',
    terminal: false,
  });
  expect(calls.at(-1)).toBe('remove /d/disk0.qcow2.partial');
});

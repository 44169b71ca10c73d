import { expect, test } from 'vitest';
import { Fault } from '../domain/fault.ts';
import type { FileInfo, Files } from '../ports/host.ts';
import { createCgroups } from './cgroups.ts';

const MOUNT = '30 20 0:27 / /cg rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate';
const name = 'flintlock-abcd';
const limits = { memoryInMb: 512, tasks: 130 };
const soon = (): AbortSignal => AbortSignal.timeout(5_000);

interface Options {
  /** Of the topmost one. */
  readonly controllers?: string;
  /** Processes in it keep it from handing anything down. */
  readonly hasProcesses?: boolean;
}

/** Version 2 in memory, with the rules of cgroup-v2.rst: a directory has the files that its parent hands down. */
function unified({ controllers = 'cpuset cpu memory pids', hasProcesses = false }: Options = {}) {
  const enabled = new Map<string, string[]>([['/cg', ['cpu']]]);
  const values = new Map<string, string>();
  const busy = new Set<string>();
  const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));
  const given = (directory: string): string[] =>
    directory === '/cg' ? controllers.split(' ') : (enabled.get(parentOf(directory)) ?? []);
  const filesOf = (directory: string): string[] => [
    ...['cgroup.controllers', 'cgroup.procs', 'cgroup.subtree_control'],
    ...given(directory).flatMap((one) => (one === 'pids' || one === 'memory' ? [`${one}.max`] : [])),
  ];
  const childrenOf = (directory: string): string[] =>
    [...enabled.keys()].filter((one) => parentOf(one) === directory).map((one) => one.slice(directory.length + 1));
  const refuse = (path: string, why: string): never => {
    throw new Fault('tool', `Cannot write ${path}: ${why}`);
  };
  const files: Partial<Files> = {
    async read(path) {
      const directory = parentOf(path);
      const text =
        path === '/proc/self/mountinfo'
          ? MOUNT
          : path.endsWith('/cgroup.controllers')
            ? given(directory).join(' ')
            : path.endsWith('/cgroup.subtree_control')
              ? enabled.get(directory)?.join(' ')
              : undefined;
      return text === undefined ? undefined : new TextEncoder().encode(`${text}\n`);
    },
    async list(path) {
      return enabled.has(path) ? [...childrenOf(path), ...filesOf(path)].sort() : [];
    },
    async stat(path): Promise<FileInfo | undefined> {
      return { kind: enabled.has(path) ? 'directory' : 'file', sizeBytes: 0, diskBytes: 0, mode: 0o644 };
    },
    async makeDirectory(path) {
      for (let at = path; at !== '/cg'; at = parentOf(at)) if (!enabled.has(at)) enabled.set(at, []);
    },
    async removeDirectory(path) {
      if (busy.has(path) || childrenOf(path).length > 0) return false;
      enabled.delete(path);
      for (const file of [...values.keys()]) if (parentOf(file) === path) values.delete(file);
      return true;
    },
    async overwrite(path, data) {
      const directory = parentOf(path);
      if (!filesOf(directory).includes(path.slice(directory.length + 1))) refuse(path, 'no such file');
      if (!path.endsWith('/cgroup.subtree_control')) return void values.set(path, data);
      if (hasProcesses && directory === '/cg') refuse(path, 'Device or resource busy');
      for (const word of data.split(' '))
        if (!word.startsWith('+') || !given(directory).includes(word.slice(1))) refuse(path, 'Invalid argument');
      enabled.set(directory, [...(enabled.get(directory) ?? []), ...data.split(' ').map((word) => word.slice(1))]);
    },
  };
  return { files: files as Files, enabled, values, busy };
}

test('of version 2 each microVM has its own, with its limits, and nothing is left of it', async () => {
  const world = unified();
  const { cgroups, why } = await createCgroups({ files: world.files, name, setting: 'auto' });
  expect(why).toBeUndefined();
  expect([...world.enabled.keys()]).toEqual(['/cg']);
  const [a, b] = ['A', 'B'].map((uid) => cgroups.of(uid, limits));
  await cgroups.make(a ?? [], soon());
  await cgroups.make(b ?? [], soon());
  await cgroups.make(b ?? [], soon()); // twice is the same as once
  expect(Object.fromEntries(world.values)).toEqual({
    '/cg/flintlock-abcd/A/memory.max': String(512 << 20),
    '/cg/flintlock-abcd/A/pids.max': '130',
    '/cg/flintlock-abcd/B/memory.max': String(512 << 20),
    '/cg/flintlock-abcd/B/pids.max': '130',
  });
  // The CPUs were shared out by cgroups already: so each microVM has its share.
  expect(world.enabled.get('/cg/flintlock-abcd')).toEqual(['memory', 'pids', 'cpu']);
  expect((await cgroups.list()).map(({ directory }) => directory)).toEqual([
    '/cg/flintlock-abcd/A',
    '/cg/flintlock-abcd/B',
  ]);
  await cgroups.remove(a ?? [], soon());
  expect(await cgroups.list()).toHaveLength(1);
  await cgroups.remove(b ?? [], soon());
  await cgroups.remove(b ?? [], soon());
  expect([...world.enabled.keys()]).toEqual(['/cg']);
});

test('one that processes are in still is waited for', async () => {
  const world = unified();
  const { cgroups } = await createCgroups({ files: world.files, name, setting: 'auto' });
  const intents = cgroups.of('A', limits);
  await cgroups.make(intents, soon());
  world.busy.add('/cg/flintlock-abcd/A');
  const removed = cgroups.remove(intents, soon());
  const gaveUp = cgroups.remove(intents, AbortSignal.timeout(20));
  await expect(gaveUp).rejects.toThrow(/timeout/);
  world.busy.clear();
  await removed;
  expect([...world.enabled.keys()]).toEqual(['/cg']);
});

test('what was made elsewhere, by a daemon that was in another cgroup, is found', async () => {
  const world = unified();
  await world.files.makeDirectory('/cg/system.slice/x.service/flintlock-abcd/A', 0o755);
  await world.files.makeDirectory('/cg/flintlock-efgh/B', 0o755);
  const { cgroups } = await createCgroups({ files: world.files, name, setting: 'off' });
  expect(await cgroups.list()).toEqual([
    {
      parent: '/cg/system.slice/x.service/flintlock-abcd',
      directory: '/cg/system.slice/x.service/flintlock-abcd/A',
    },
  ]);
});

test.each([
  ['in a container, whose own processes are in the topmost one', { hasProcesses: true }, /Device or resource busy/],
  ['without the memory controller', { controllers: 'cpu pids' }, /Invalid argument/],
])('%s there are none, and it says why', async (_what, options, reason) => {
  const world = unified(options);
  const { cgroups, why } = await createCgroups({ files: world.files, name, setting: 'auto' });
  expect(why).toMatch(reason);
  expect(cgroups.of('A', limits)).toEqual([]);
  await cgroups.make([], soon());
  expect([...world.enabled.keys()]).toEqual(['/cg']);
});

test('switched off there are none', async () => {
  const { cgroups, why } = await createCgroups({ files: unified().files, name, setting: 'off' });
  expect(why).toBe('they are switched off');
  expect(cgroups.of('A', limits)).toEqual([]);
});

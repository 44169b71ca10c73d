import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { expect, type TestContext, test } from 'vitest';
import { cgroupPath } from '../domain/cgroup-limits.ts';
import type { Files } from '../ports/host.ts';
import { createCgroups } from './cgroups.ts';
import { files } from './files.ts';
import { limitsInForce } from './limits-in-force.ts';
import { createProcesses } from './processes.ts';

const soon = (): AbortSignal => AbortSignal.timeout(20_000);
const limits = { memoryInMb: 64, tasks: 8 };

/** The cgroups of a name that is this test's alone, where the host has any. */
async function bed(t: TestContext) {
  const name = `flintlock-test-${process.pid}`;
  const { cgroups, why } = await createCgroups({ files, name, setting: 'auto' });
  if (why !== undefined) t.skip(`this host has no cgroups for us: ${why}`);
  const intents = cgroups.of('VM', limits);
  const directory = mkdtempSync('/tmp/flc-');
  t.onTestFinished(async () => {
    rmSync(directory, { recursive: true });
    await cgroups.remove(intents, soon());
    expect(intents.filter(({ parent }) => existsSync(parent))).toEqual([]);
  });
  return { cgroups, intents, directory };
}

const rowsOf = (pid: number, directories: readonly string[]): boolean[] => {
  const rows = readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().split('\n');
  return directories.map((directory) => rows.some((row) => directory.endsWith(row.split(':').slice(2).join(':'))));
};

test('a process is started in its cgroups, which hold it to its limits, and go with it', async (t) => {
  const { cgroups, intents, directory } = await bed(t);
  await cgroups.make(intents, soon());
  await cgroups.make(intents, soon());
  for (const { directory: at, set } of intents)
    for (const [file, value] of Object.entries(set)) expect(readFileSync(`${at}/${file}`, 'utf8').trim()).toBe(value);
  expect((await cgroups.list()).map((one) => one.directory).toSorted()).toEqual(
    intents.map((one) => one.directory).toSorted(),
  );
  const processes = createProcesses();
  const at = intents.map((one) => one.directory);
  const script = 'sleep 0.2; x=$(head -c 200m /dev/zero | tr "\\0" x); echo survived; sleep 60';
  const started = await processes.start(['sh', '-c', script], { log: `${directory}/log`, cgroups: at });
  const { pid } = started.identity;
  expect(new Set(rowsOf(pid, at))).toEqual(new Set([true]));
  const counter = await processes.oomCounter(pid);
  expect(counter?.cgroup).toMatch(/flintlock-test-\d+\/VM$/);
  await processes.ended(started.identity, soon());
  // The kernel chose who of them dies; the count is what tells.
  await expect
    .poll(async () => (await counter?.again()) ?? 0, { timeout: 10_000 })
    .toBeGreaterThan(counter?.kills ?? 0);
  expect(await counter?.full()).toEqual({
    cgroup: expect.stringMatching(/flintlock-test-\d+\/VM$/),
    limitBytes: 64 << 20,
  });
  expect(readFileSync(`${directory}/log`, 'utf8')).not.toMatch(/survived/);
});

test('where a cgroup above has the smaller limit, that one is named', async (t) => {
  const { cgroups, intents, directory } = await bed(t);
  await cgroups.make(intents, soon());
  for (const { parent, set } of intents) {
    const [file] = Object.keys(set).filter((name) => name.startsWith('memory.'));
    if (file !== undefined) await files.overwrite(`${parent}/${file}`, String(32 << 20));
  }
  const processes = createProcesses();
  const at = intents.map((one) => one.directory);
  const script = 'sleep 0.2; x=$(head -c 200m /dev/zero | tr "\\0" x); sleep 60';
  const started = await processes.start(['sh', '-c', script], { log: `${directory}/log`, cgroups: at });
  const counter = await processes.oomCounter(started.identity.pid);
  await processes.ended(started.identity, soon());
  await expect
    .poll(() => counter?.full(), { timeout: 10_000 })
    .toEqual({ cgroup: expect.stringMatching(/flintlock-test-\d+$/), limitBytes: 32 << 20 });
});

test('the smallest limit on the way up is the one in force', async (t) => {
  const { cgroups, intents } = await bed(t);
  await cgroups.make(intents, soon());
  const [own] = intents.filter(({ set }) => Object.keys(set).some((name) => name.startsWith('memory.')));
  if (!own) return t.skip('no hierarchy here limits memory');
  const isOld = own.enable.length === 0;
  const mountinfo = readFileSync('/proc/self/mountinfo', 'utf8');
  const point = cgroupPath(mountinfo, readFileSync('/proc/self/cgroup', 'utf8'), 'memory')?.point ?? '';
  /** As a process in there reads it. */
  const inside: Pick<Files, 'read'> = {
    read: async (path, options) =>
      path === '/proc/self/cgroup'
        ? Buffer.from(`${isOld ? '4:memory:' : '0::'}${own.directory.slice(point.length)}\n`)
        : files.read(path, options),
  };
  expect(await limitsInForce({ files: inside })).toMatchObject({
    memory: { limitBytes: 64 << 20, cgroup: own.directory },
  });
  const [file = ''] = Object.keys(own.set).filter((name) => name.startsWith('memory.'));
  await files.overwrite(`${own.parent}/${file}`, String(48 << 20));
  expect(await limitsInForce({ files: inside })).toMatchObject({
    memory: { limitBytes: 48 << 20, cgroup: own.parent },
  });
});

test('one that runs already is moved, and what cannot be moved is ended', async (t) => {
  const { cgroups, intents, directory } = await bed(t);
  await cgroups.make(intents, soon());
  const at = intents.map((one) => one.directory);
  const processes = createProcesses();
  const child: ChildProcess = spawn('sleep', ['60'], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  const pid = child.pid ?? 0;
  await processes.moveInto(pid, at);
  await processes.moveInto(pid, at);
  expect(new Set(rowsOf(pid, at))).toEqual(new Set([true]));
  const removing = cgroups.remove(intents, soon()); // waits for the end
  child.kill('SIGKILL');
  await ended;
  await removing;
  await cgroups.make(intents, soon());
  await processes.moveInto(pid, at); // of one that is gone nothing is said
  const options = { log: `${directory}/log`, cgroups: [`${directory}/none`] };
  const mark = `60.${process.pid}`;
  await expect(processes.start(['sleep', mark], options)).rejects.toThrow(/Cannot move process \d+ into the cgroup/);
  await expect.poll(() => processes.find((argv) => argv.includes(mark))).toEqual([]);
});

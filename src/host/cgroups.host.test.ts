import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { expect, type TestContext, test } from 'vitest';
import { createCgroups } from './cgroups.ts';
import { files } from './files.ts';
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
  expect(readFileSync(`${directory}/log`, 'utf8')).not.toMatch(/survived/);
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

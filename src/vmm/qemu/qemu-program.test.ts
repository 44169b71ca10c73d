import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type QmpServer, startQmpServer } from '../../../test/stand-ins/qmp-server.ts';
import { Fault } from '../../domain/fault.ts';
import { files as realFiles } from '../../host/files.ts';
import type { Clock } from '../../ports/clock.ts';
import type { ProcessExit, Processes, ProcessIdentity, ProcessInfo, Run } from '../../ports/host.ts';
import type { Log } from '../../ports/log.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import { Starts } from '../supervisor/starts.ts';
import { SupervisedVmm } from '../supervisor/supervised-vmm.ts';
import { qemuArgv } from './argv.ts';
import { qemuProgram } from './qemu-program.ts';

const ignore = (): void => undefined;
const log: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
const identity: ProcessIdentity = { pid: 4711, startTime: '99', bootId: 'boot' };

let directory: string;
let config: VmmConfig;
let server: QmpServer;
let alive: boolean;
let freeBytes: number;
let signals: string[];
let timers: { readonly ms: number; readonly callback: () => void }[];
let running: SupervisedVmm | undefined;
let ran: (readonly string[])[];
let runFails: Fault | undefined;
const run: Run = async (argv) => {
  ran.push(argv);
  if (runFails) throw runFails;
  return '';
};

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'fl-program-'));
  config = {
    uid: 'U1',
    runDirectory: directory,
    stateDirectory: directory,
    user: 1,
    vcpu: 1,
    memoryInMb: 96,
    kernel: '/k',
    cmdline: '',
    disks: [{ id: 'root', path: join(directory, 'disk'), format: 'raw', readOnly: false, isRoot: true }],
    nics: [],
  };
  server = await startQmpServer(join(directory, 'qmp.sock'));
  alive = true;
  freeBytes = 1 << 30;
  signals = [];
  timers = [];
  ran = [];
  runFails = undefined;
});
afterEach(async () => {
  running?.release();
  running = undefined;
  await server.close();
  rmSync(directory, { recursive: true, force: true });
});

const clock: Clock = {
  now: () => 0,
  elapsed: () => 0,
  random: () => 0,
  after(ms, callback) {
    const timer = { ms, callback };
    timers.push(timer);
    return () => {
      timers = timers.filter((other) => other !== timer);
    };
  },
  sleep: (_ms, signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
};
/** Lets the one timer that there may be run down. */
function tick(): void {
  expect(timers).toHaveLength(1);
  timers.shift()?.callback();
}
/** The next time the timer is set again, lets it run down, until something holds. */
async function tickUntil(holds: () => boolean): Promise<void> {
  const poll = { interval: 2, timeout: 5_000 };
  await expect
    .poll(() => {
      if (!holds() && timers.length > 0) tick();
      return holds();
    }, poll)
    .toBe(true);
}

const argv = (acpi = true): readonly string[] =>
  qemuArgv(config, { binary: 'qemu', accelerator: 'tcg', acpi, userSwitch: 'runas' }, '').slice(2);
const processes: Processes = {
  moveInto: async () => undefined,
  start: () => Promise.reject(new Error('not here')),
  inspect: async () =>
    alive ? ({ ...identity, argv: argv(), exe: '', zombie: false } satisfies ProcessInfo) : undefined,
  find: async () => [],
  async signal(_identity, isOurs, signal) {
    expect(isOurs(argv())).toBe(true);
    signals.push(signal);
    return true;
  },
  ended: async () => undefined,
  bootId: async () => 'boot',
  oomCounter: async () => undefined,
};

async function watched(exited?: Promise<ProcessExit>, acpi = false): Promise<SupervisedVmm> {
  const files = { ...realFiles, freeBytes: async () => freeBytes };
  const deps = { files, processes, clock, log, starts: new Starts(clock) };
  const program = qemuProgram({ binary: 'qemu', clock, run });
  const one = new SupervisedVmm(config, identity, program, argv(acpi), deps, { ...(exited && { exited }) });
  running = one;
  await one.connect(new AbortController().signal);
  await one.watch();
  return one;
}
const becomes = (one: SupervisedVmm, state: string) => expect.poll(() => one.guest).toBe(state);

test('is running once QEMU says so, and follows pause and resume', async () => {
  const one = await watched();
  expect(one.guest).toBe('running');
  const seen: string[] = [];
  one.onGuest((state) => seen.push(state));
  server.event('STOP');
  server.event('RESUME');
  await expect.poll(() => seen).toEqual(['paused', 'running']);
});

test('takes the tap that was made in the place of a deleted one; where it cannot, it lets go of that', async () => {
  config = {
    ...config,
    nics: [
      { device: 'tap0', mac: '52:00:00:00:00:01' },
      { device: 'macvtap0', node: '/dev/tap7', mac: '52:00:00:00:00:02' },
      { device: 'tap1', mac: '52:00:00:00:00:03' },
    ],
  };
  server.answers.set('netdev_del', {});
  const one = await watched();
  const { signal } = new AbortController();
  await one.replug?.('tap1', signal);
  expect(ran.map(([program, ...words]) => [program, ...words.slice(3)])).toEqual([
    ['perl', '4711', join(directory, 'qmp.sock'), 'tap1', 'tap0', 'tap1'],
  ]);
  expect(server.commands).not.toContain('netdev_del');
  for (const other of ['macvtap0', 'tap2']) await one.replug?.(other, signal);
  expect(ran).toHaveLength(1);

  runFails = new Fault('timeout', 'perl did not end in 10000 ms');
  await expect(one.replug?.('tap1', signal)).rejects.toThrow('did not end');
  expect(server.commands).not.toContain('netdev_del');
  const why = 'Cannot plug tap1 in again: it has 0 taps open, not 2';
  runFails = new Fault('tool', 'perl failed (exit status 125): flintlock: it has 0 taps open, not 2');
  await expect(one.replug?.('tap1', signal)).rejects.toThrow(why);
  expect(server.told).toEqual({ id: 'net2' });
  server.refusals.set('netdev_del', "Device 'net2' not found");
  await expect(one.replug?.('tap1', signal)).rejects.toThrow(why);
  server.refusals.set('netdev_del', 'it is a bad day');
  await expect(one.replug?.('tap1', signal)).rejects.toThrow('a bad day');
});

test('a guest without disk is held, and goes on when there is room', async () => {
  const one = await watched();
  freeBytes = 1 << 20;
  server.event('BLOCK_IO_ERROR', { action: 'stop', nospace: true, device: '', operation: 'write' });
  server.event('STOP');
  server.answers.set('query-status', { status: 'io-error', running: false });
  await becomes(one, 'held');
  tick();
  await expect.poll(() => timers.length).toBe(1);
  expect(one.guest).toBe('held');
  expect(server.commands).not.toContain('cont');
  freeBytes = 1 << 30;
  await tickUntil(() => server.commands.includes('cont'));
  server.answers.set('query-status', { status: 'running', running: true });
  server.event('RESUME');
  // An answer from before may come behind it: then the next look tells.
  await tickUntil(() => one.guest === 'running');
});

test('a write error that the guest is told of holds nothing', async () => {
  const one = await watched();
  server.event('BLOCK_IO_ERROR', { action: 'report', nospace: false, device: '', operation: 'write' });
  tick();
  await expect.poll(() => server.commands.filter((c) => c === 'query-status')).toHaveLength(2);
  expect(one.guest).toBe('running');
});

test('QEMU that does not answer is unreachable until it does', async () => {
  const one = await watched();
  server.answers.set('query-status', undefined);
  tick();
  expect(timers.map(({ ms }) => ms)).toEqual([5_000]);
  await expect.poll(() => server.commands.filter((c) => c === 'query-status')).toHaveLength(2);
  expect(one.guest).toBe('running'); // it has 5 s
  tick();
  await becomes(one, 'unreachable');
  await tickUntil(() => timers.length === 1);
  server.answers.set('query-status', { status: 'running' });
  server.answerLate({ status: 'running' });
  await becomes(one, 'running');
  expect(server.commands.filter((c) => c === 'query-status')).toHaveLength(2); // not asked again meanwhile
});

test('a connection that ends is made again while the process lives', async () => {
  const one = await watched();
  server.hangUp();
  await tickUntil(() => server.greeted === 2);
  await expect.poll(() => timers[0]?.ms).toBe(5_000);
  expect(one.guest).toBe('running');
  server.event('STOP');
  await becomes(one, 'paused');
});

test('no socket but a process is unreachable, tried again for as long as it takes', async () => {
  const one = await watched();
  await server.close();
  await tickUntil(() => one.guest === 'unreachable');
  server = await startQmpServer(join(directory, 'qmp.sock'));
  await tickUntil(() => one.guest === 'running');
});

test('an adopted process that is gone when its socket closes has vanished', async () => {
  const one = await watched();
  alive = false;
  server.hangUp();
  await tickUntil(() => timers.length === 0);
  expect((await one.ended).reason).toBe('VmmVanished');
});

test('what QEMU said last is heard before the exit of a child is judged', async () => {
  const { promise: exited, resolve } = Promise.withResolvers<ProcessExit>();
  const one = await watched(exited);
  server.event('SHUTDOWN', { guest: true, reason: 'guest-shutdown' });
  resolve({ code: 0, signal: null, seen: true });
  await server.close();
  expect(await one.ended).toMatchObject({ reason: 'GuestShutdown' });
});

test('a reset right after a panic ends the run, another does not', async () => {
  const one = await watched();
  server.event('RESET', { guest: true, reason: 'guest-reset' });
  tick();
  await expect.poll(() => timers.length).toBe(1);
  expect(signals).toEqual([]);
  writeFileSync(join(directory, 'console.log'), '[ 1.0] Kernel panic - not syncing: no root\r\n');
  server.event('RESET', { guest: true, reason: 'guest-reset' });
  await expect.poll(() => signals).toEqual(['SIGKILL']);
  alive = false;
  server.hangUp();
  await tickUntil(() => timers.length === 0);
  expect(await one.ended).toEqual({ reason: 'GuestPanic', message: "The guest's kernel panicked: no root" });
});

test('a reset right after an initrd gave up ends the run', async () => {
  const one = await watched();
  const said = 'ALERT!  /dev/vda does not exist.  Dropping to a shell!\r\n';
  writeFileSync(
    join(directory, 'console.log'),
    `Gave up waiting for root file system device.\r\n${said}Rebooting automatically due to panic= boot argument\r\n`,
  );
  server.event('RESET', { guest: true, reason: 'guest-reset' });
  await expect.poll(() => signals).toEqual(['SIGKILL']);
  alive = false;
  server.hangUp();
  await tickUntil(() => timers.length === 0);
  expect(await one.ended).toMatchObject({
    reason: 'GuestReset',
    message: expect.stringContaining(
      'initrd gave up and reset the machine, and would again: "ALERT! /dev/vda does not exist',
    ),
  });
});

describe('the power of a guest', () => {
  const { signal } = new AbortController();
  const POWER = ['cont', 'stop', 'set-action', 'system_powerdown', 'system_reset'];
  const told = () => server.commands.filter((command) => POWER.includes(command));
  beforeEach(() => {
    for (const command of POWER) server.answers.set(command, {});
  });

  test('has a button only with ACPI', async () => {
    expect(await (await watched()).pressPower(signal)).toBe(false);
    expect(told()).toEqual([]);
    running?.release();
    expect(await (await watched(undefined, true)).pressPower(signal)).toBe(true);
    expect(told()).toEqual(['system_powerdown']);
  });

  test('is paused and goes on, and a paused guest is let run for its button', async () => {
    const one = await watched(undefined, true);
    await one.pause(signal);
    expect(one.guest).toBe('paused');
    await one.resume(signal);
    expect(one.guest).toBe('running');
    await one.pause(signal);
    await one.pressPower(signal);
    expect(told()).toEqual(['stop', 'cont', 'stop', 'cont', 'system_powerdown']);
  });

  test('is rebooted in place: off by its button, reset, on, and never shown as anything but running', async () => {
    const { promise: exited, resolve } = Promise.withResolvers<ProcessExit>();
    const one = await watched(exited, true);
    const seen: string[] = [];
    one.onGuest((state) => seen.push(state));
    const rebooted = one.reboot(30_000, signal);
    await expect.poll(told).toEqual(['set-action', 'system_powerdown']);
    server.event('SHUTDOWN', { guest: true, reason: 'guest-shutdown' });
    server.event('STOP');
    server.answers.set('query-status', { status: 'shutdown', running: false });
    await expect.poll(told).toEqual(['set-action', 'system_powerdown', 'set-action', 'system_reset']);
    server.event('RESET', { guest: false, reason: 'host-qmp-system-reset' });
    await rebooted;
    expect(told().at(-1)).toBe('cont');
    expect(seen).toEqual([]);
    expect(signals).toEqual([]);
    // Its next power-off is the end of the run.
    server.answers.set('query-status', { status: 'running', running: true });
    server.event('SHUTDOWN', { guest: true, reason: 'guest-shutdown' });
    resolve({ code: 0, signal: null, seen: true });
    await server.close();
    expect(await one.ended).toMatchObject({ reason: 'GuestShutdown' });
  });

  test('is reset where the guest has no button, or no time', async () => {
    for (const [acpi, patience] of [
      [false, 30_000],
      [true, 0],
    ] as const) {
      const before = told().length;
      const one = await watched(undefined, acpi);
      const rebooted = one.reboot(patience, signal);
      await expect.poll(() => told().slice(before)).toEqual(['system_reset']);
      server.event('RESET', { guest: false, reason: 'host-qmp-system-reset' });
      await rebooted;
      one.release();
    }
  });

  test('that is broken off in a reboot is off for good when the guest powers off', async () => {
    const one = await watched(undefined, true);
    const enough = new AbortController();
    const rebooted = one.reboot(30_000, enough.signal);
    await expect.poll(told).toEqual(['set-action', 'system_powerdown']);
    enough.abort(new Error('the daemon ends'));
    await expect(rebooted).rejects.toThrow('the daemon ends');
    expect(told()).toEqual(['set-action', 'system_powerdown', 'set-action']);
  });

  test('of a guest that was left off by a daemon in the midst of a reboot is its end', async () => {
    server.answers.set('query-status', { status: 'shutdown', running: false });
    const one = await watched(undefined, true);
    await expect.poll(() => signals).toEqual(['SIGKILL']);
    alive = false;
    server.hangUp();
    await tickUntil(() => timers.length === 0);
    expect(await one.ended).toMatchObject({ reason: 'GuestShutdown' });
  });

  test('cannot be had of a QEMU that does not answer, and says so', async () => {
    const one = await watched(undefined, true);
    await server.close();
    await tickUntil(() => one.guest === 'unreachable');
    for (const call of [() => one.pause(signal), () => one.pressPower(signal), () => one.reboot(1, signal)])
      await expect(call()).rejects.toMatchObject({ kind: 'tool', reason: 'VmmUnreachable' });
  });
});

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { eventually, FakeClock, turn } from '../../../test/support/fake-clock.ts';
import { fakeFiles } from '../../../test/support/fake-files.ts';
import { FakeMonitor } from '../../../test/support/fake-monitor.ts';
import { memoryLog } from '../../../test/support/memory-log.ts';
import { Fault } from '../../domain/fault.ts';
import type { ProcessExit, Processes } from '../../ports/host.ts';
import type { GuestState, VmmConfig, VmmEnd } from '../../ports/vmm.ts';
import { Starts } from './starts.ts';
import { SupervisedVmm } from './supervised-vmm.ts';
import type { VmmProgram } from './vmm-program.ts';

const identity = { pid: 4711, startTime: '99', bootId: 'boot' };
const config: VmmConfig = {
  ...{ uid: 'U1', runDirectory: '/run/U1', stateDirectory: '/state/U1', user: 1, vcpu: 1, memoryInMb: 96 },
  ...{ kernel: '/k', cmdline: '', nics: [] },
  disks: [
    { id: 'root', path: '/state/U1/disk0', format: 'raw', readOnly: false, isRoot: true },
    { id: 'shared', path: '/full/disk1', format: 'raw', readOnly: true, isRoot: false },
  ],
};
const CONSOLE = '/state/U1/console.log';
const ERRORS = '/state/U1/vmm.log';
const never = new AbortController().signal;

let monitor: FakeMonitor;
let clock: FakeClock;
let log: ReturnType<typeof memoryLog>;
let texts: Record<string, string>;
let alive: boolean;
let freeBytes: number;
let kills: number;
let again: () => Promise<number>;
let full: { cgroup: string; limitBytes: number } | undefined;
let signals: string[];
let one: SupervisedVmm;

beforeEach(() => {
  monitor = new FakeMonitor();
  clock = new FakeClock();
  log = memoryLog();
  texts = {};
  alive = true;
  freeBytes = 1 << 30;
  kills = 2;
  again = async () => kills;
  full = { cgroup: '/vms/a', limitBytes: 64 << 20 };
  signals = [];
});
afterEach(() => {
  one.release();
  expect(clock.waiting).toBe(0); // it has let go of its timer
});

const program: VmmProgram = {
  name: 'The VMM',
  consoleLog: () => CONSOLE,
  errorLog: () => ERRORS,
  controlSocket: () => '/run/U1/control',
  sockets: () => ['/run/U1/control'],
  startOptions: () => ({}),
  isOf: () => (argv) => argv.includes('U1'),
  runOf: () => ({ monitor, accelerator: 'tcg', advice: 'Try another kernel', counters: [] }),
  refusalOf: () => new Fault('refused', 'it did not start'),
};
const processes: Processes = {
  start: () => Promise.reject(new Error('not here')),
  moveInto: async () => undefined,
  inspect: async () => (alive ? { ...identity, argv: ['vmm', 'U1'], exe: '', zombie: false } : undefined),
  find: async () => [],
  async signal(_identity, isOurs, signal) {
    expect(isOurs(['vmm', 'U1'])).toBe(true);
    expect(isOurs(['vmm', 'U2'])).toBe(false);
    signals.push(signal);
    return true;
  },
  ended: async () => undefined,
  bootId: async () => 'boot',
  oomCounter: async () => ({ cgroup: '/vms/a', kills: 2, again: () => again(), full: async () => full }),
};

async function watched(exited?: Promise<ProcessExit>, kind = program): Promise<SupervisedVmm> {
  const files = { ...fakeFiles(texts), freeBytes: async (path: string) => (path === '/full' ? 0 : freeBytes) };
  const deps = { files, processes, clock, log, starts: new Starts(clock) };
  one = new SupervisedVmm(config, identity, kind, ['vmm', 'U1'], deps, { ...(exited && { exited }) });
  await one.connect(never);
  await one.watch();
  return one;
}
const child = () => Promise.withResolvers<ProcessExit>();
const becomes = (state: GuestState) => eventually(`it is ${state}`, () => one.guest === state);
/** Lets one round after the other begin, each when the timer is due, until something holds. */
const rounds = (what: string, holds: () => boolean) =>
  eventually(what, () => {
    if (holds()) return true;
    if (clock.next !== undefined) clock.advance(clock.next - clock.now());
    return false;
  });
/** As `ended`, with the drain's time over. */
const endOf = async (): Promise<VmmEnd> => {
  let end: VmmEnd | undefined;
  void one.ended.then((told) => {
    end = told;
  });
  return eventually('it has ended', () => {
    if (!end && clock.next !== undefined) clock.advance(200);
    return end;
  });
};

test('what the VMM says of its guest is told at once, and once', async () => {
  await watched();
  expect(one.guest).toBe('running');
  const seen: string[] = [];
  one.onGuest((state) => seen.push(state));
  for (const is of ['paused', 'paused', 'running'] as const) monitor.say({ is });
  expect(seen).toEqual(['paused', 'running']);
});

test('a guest that still stands before its first instruction is let go when its VMM says so', async () => {
  monitor.report = { is: 'ready' };
  await watched();
  expect(one.guest).toBe('unreachable');
  expect(monitor.told).toEqual([]);
  await one.begin(never);
  expect(one.guest).toBe('running');
  monitor.report = { is: 'ready' };
  await rounds('it is told to begin again', () => monitor.told.length === 2);
  expect(monitor.told).toEqual(['begin', 'begin']);
});

test('a VMM that tells nothing unasked is asked', async () => {
  await watched();
  monitor.report = { is: 'paused' };
  clock.advance(5_000);
  await becomes('paused');
});

describe('a guest without room on the disk', () => {
  test('is held, and goes on when there is some where it writes', async () => {
    await watched();
    freeBytes = 1 << 20;
    monitor.say({ is: 'held' });
    monitor.say({ is: 'paused' }); // of which it is stopped
    monitor.report = { is: 'held' };
    expect(one.guest).toBe('held');
    for (let i = 0; i < 3; i++) {
      clock.advance(5_000);
      await turn();
    }
    expect(monitor.told).toEqual([]);
    freeBytes = 1 << 30;
    await rounds('it is told to go on', () => monitor.told.includes('resume'));
    monitor.report = { is: 'running' };
    monitor.say({ is: 'running' });
    expect(one.guest).toBe('running');
  });
});

describe('a VMM that does not answer', () => {
  test('is unreachable after one question’s time, and is not asked again before it has answered', async () => {
    await watched();
    monitor.report = undefined;
    const asked = monitor.questions;
    clock.advance(5_000);
    await turn();
    expect(one.guest).toBe('running'); // it has its time
    clock.advance(5_000);
    await becomes('unreachable');
    clock.advance(20_000);
    await turn();
    expect(monitor.questions).toBe(asked + 1);
    monitor.say({ is: 'running' });
    expect(one.guest).toBe('running');
  });

  test('is connected anew when the connection ends, and not shown as unreachable meanwhile', async () => {
    await watched();
    const seen: string[] = [];
    one.onGuest((state) => seen.push(state));
    monitor.hangUp();
    await rounds('it is connected again', () => monitor.connections === 2);
    await turn();
    expect(seen).toEqual([]);
  });

  test('is tried for as long as it takes, while its process lives', async () => {
    await watched();
    monitor.listens = false;
    monitor.hangUp();
    await rounds('it is unreachable', () => one.guest === 'unreachable');
    const from = clock.now();
    await rounds('minutes are over', () => clock.now() - from > 180_000);
    monitor.listens = true;
    await rounds('it runs', () => one.guest === 'running');
  });

  test('has a connection that hangs given up, and another tried', async () => {
    await watched();
    monitor.report = undefined; // a connection is made, and nothing comes
    monitor.hangUp();
    const asked = monitor.questions;
    await rounds('the second attempt', () => monitor.questions === asked + 2);
    monitor.report = { is: 'running' };
    await rounds('it runs', () => one.guest === 'running' && monitor.connections === 2);
  });

  test('whose process is gone has vanished', async () => {
    await watched();
    alive = false;
    monitor.hangUp();
    await rounds('no timer is left', () => clock.waiting === 0);
    expect(await endOf()).toMatchObject({ reason: 'VmmVanished', message: expect.stringMatching(/^The VMM is gone/) });
  });
});

describe('the exit of a child', () => {
  test('comes after what the VMM said last', async () => {
    const { promise: exited, resolve } = child();
    await watched(exited);
    const end: VmmEnd = { reason: 'GuestShutdown', message: 'off' };
    resolve({ code: 0, signal: null, seen: true });
    await turn();
    monitor.say({ is: 'ending', end }); // still in the connection
    monitor.hangUp();
    expect(await one.ended).toEqual(end);
  });

  test('does not wait for a connection that does not end', async () => {
    const { promise: exited, resolve } = child();
    await watched(exited);
    resolve({ code: 7, signal: null, seen: true });
    expect(await endOf()).toMatchObject({ reason: 'VmmExited' });
  });

  test('tells its signal and what the VMM wrote', async () => {
    const { promise: exited, resolve } = child();
    await watched(exited);
    texts[ERRORS] = 'it hurts\n';
    alive = false; // a look at the process must not be quicker than its exit
    monitor.listens = false;
    monitor.hangUp();
    for (let i = 0; i < 30; i++) {
      clock.advance(250);
      await turn();
    }
    resolve({ code: null, signal: 'SIGSEGV', seen: true });
    expect(await one.ended).toEqual({ reason: 'VmmKilled', message: 'The VMM was killed by SIGSEGV: it hurts' });
  });

  test.each([
    ['a child killed', { code: null, signal: 'SIGKILL', seen: true }, 3, 'OutOfMemory'],
    ['a child killed by hand', { code: null, signal: 'SIGKILL', seen: true }, 2, 'VmmKilled'],
    ['a child that exits', { code: 1, signal: null, seen: true }, 3, 'VmmExited'],
    ['one whose end nobody saw', { code: null, signal: null, seen: false }, 3, 'OutOfMemory'],
  ] as const)('%s is out of memory where the kernel has counted one more', async (_, exit, counted, reason) => {
    const { promise: exited, resolve } = child();
    await watched(exited);
    kills = counted;
    resolve(exit);
    const end = await endOf();
    expect(end.reason).toBe(reason);
    if (reason === 'OutOfMemory') expect(end.message).toMatch(/cgroup \/vms\/a has reached its limit of 64 MiB/);
  });

  test('is told also where the kernel’s count cannot be read', async () => {
    const { promise: exited, resolve } = child();
    await watched(exited);
    again = () => Promise.reject(new Error('no such file'));
    resolve({ code: null, signal: 'SIGKILL', seen: true });
    expect(await endOf()).toMatchObject({ reason: 'VmmKilled' });
    expect(log.lines).toMatchObject([{ level: 'warn', fields: { uid: 'U1', pid: 4711, error: 'no such file' } }]);
  });

  test('where no cgroup has met its limit it is the host that has no memory', async () => {
    const { promise: exited, resolve } = child();
    await watched(exited);
    kills = 3;
    full = undefined;
    resolve({ code: null, signal: 'SIGKILL', seen: true });
    expect(await endOf()).toMatchObject({ reason: 'OutOfMemory', message: expect.stringContaining('on the host') });
  });
});

describe('a guest that cannot go on is ended:', () => {
  const isEnded = async (end: Partial<VmmEnd> & { message?: unknown }) => {
    await eventually('it is ended', () => signals.length > 0);
    expect(signals).toEqual(['SIGKILL']);
    alive = false;
    monitor.listens = false;
    monitor.hangUp();
    await rounds('no timer is left', () => clock.waiting === 0);
    expect(await endOf()).toMatchObject(end);
  };
  const settle = async () => {
    for (let i = 0; i < 5; i++) await turn();
  };

  test('its kernel panicked and it is still there', async () => {
    await watched();
    monitor.report = { is: 'panicked' };
    clock.advance(5_000);
    await isEnded({ reason: 'GuestPanic' });
  });

  test('it is off and still there, as a daemon that died in a reboot leaves it', async () => {
    monitor.report = { is: 'off' };
    await watched();
    await isEnded({ reason: 'GuestShutdown' });
  });

  test('the VMM says that it is broken', async () => {
    await watched();
    const end: VmmEnd = { reason: 'VmmExited', message: 'an error of the emulation' };
    monitor.report = { is: 'broken', end };
    clock.advance(5_000);
    await isEnded(end);
  });

  test('it reset itself right after a panic; another reset ends nothing', async () => {
    texts[CONSOLE] = '[ 0.1] Kernel panic - not syncing: of an earlier run\r\n';
    await watched();
    monitor.say({ is: 'reset', byGuest: true });
    await settle();
    expect(signals).toEqual([]);
    texts[CONSOLE] += '[ 1.0] Kernel panic - not syncing: no root\r\n';
    monitor.say({ is: 'reset', byGuest: true });
    await isEnded({ reason: 'GuestPanic', message: "The guest's kernel panicked: no root" });
  });

  test('its initrd gave up and reset it', async () => {
    await watched();
    texts[CONSOLE] =
      'Gave up waiting for root file system device.\r\nALERT!  /dev/vda does not exist.  Dropping to a shell!\r\nRebooting automatically due to panic= boot argument\r\n';
    monitor.say({ is: 'reset', byGuest: true });
    await isEnded({ reason: 'GuestReset', message: expect.stringContaining('/dev/vda does not exist') });
  });

  test('it resets itself again and again', async () => {
    await watched();
    for (let i = 0; i < 5; i++) monitor.say({ is: 'reset', byGuest: true });
    monitor.say({ is: 'reset', byGuest: false });
    await settle();
    expect(signals).toEqual([]);
    monitor.say({ is: 'reset', byGuest: true });
    await isEnded({ reason: 'GuestReset', message: expect.stringContaining('6 times') });
  });

  test('what resets itself seldom is in no loop', async () => {
    await watched();
    for (let i = 0; i < 20; i++) {
      monitor.say({ is: 'reset', byGuest: true });
      clock.advance(13_000);
      await settle();
    }
    expect(signals).toEqual([]);
  });
});

test('a panic that the VMM told has the console’s words and the machine’s advice', async () => {
  const { promise: exited, resolve } = child();
  await watched(exited);
  monitor.say({ is: 'panicked' });
  texts[CONSOLE] = 'Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n';
  resolve({ code: 0, signal: null, seen: true });
  const end = await endOf();
  expect(end.reason).toBe('GuestPanic');
  expect(end.message).toMatch(/Unable to mount root.*Try another kernel$/);
});

test('of a VMM that ends where others reset, the exit and the end of the console tell', async () => {
  const ends: VmmProgram = {
    ...program,
    endOf: ({ exit, console, advice }) =>
      exit.code === 0 ? { reason: 'GuestReset', message: `${console}, ${advice}` } : undefined,
  };
  texts[CONSOLE] = 'an earlier run, ';
  const { promise: exited, resolve } = child();
  await watched(exited, ends);
  texts[CONSOLE] += 'its last words';
  resolve({ code: 0, signal: null, seen: true });
  expect(await endOf()).toEqual({ reason: 'GuestReset', message: 'its last words, Try another kernel' });
  const other = child();
  await watched(other.promise, ends);
  other.resolve({ code: 3, signal: null, seen: true });
  expect(await endOf()).toMatchObject({ reason: 'VmmExited' });
});

test('where the guest boots anew its console is marked, and who waits for it is called', async () => {
  await watched();
  const seen: number[] = [];
  one.onBoot(() => seen.push(one.bootedAt));
  texts[CONSOLE] = 'twelve bytes';
  monitor.say({ is: 'reset', byGuest: true });
  await eventually('it is told', () => seen.length === 1);
  expect(seen).toEqual([12]);
});

test('signs of life are counted, and what cannot be asked is left out', async () => {
  texts[CONSOLE] = 'words';
  await watched();
  expect(await one.signs()).toEqual({ consoleBytes: 5, diskOperations: 3 });
  monitor.operations = undefined;
  expect(await one.signs()).toEqual({ consoleBytes: 5 });
});

describe('power', () => {
  test('a machine without a button is not told', async () => {
    await watched();
    monitor.hasPowerButton = false;
    expect(await one.pressPower(never)).toBe(false);
    expect(monitor.told).toEqual([]);
  });

  test('a paused guest is let run for its button', async () => {
    await watched();
    await one.pause(never);
    expect(one.guest).toBe('paused');
    expect(await one.pressPower(never)).toBe(true);
    expect(monitor.told).toEqual(['pause', 'resume', 'power']);
    await one.resume(never);
    expect(one.guest).toBe('running');
  });

  test('what is told of the guest during a reboot is part of it, and its next end is an end', async () => {
    const { promise: exited, resolve } = child();
    await watched(exited);
    const seen: string[] = [];
    one.onGuest((state) => seen.push(state));
    const off: VmmEnd = { reason: 'GuestShutdown', message: 'off' };
    monitor.duringReboot = async () => {
      monitor.say({ is: 'ending', end: { reason: 'VmmExited', message: 'for the reboot' } });
      monitor.say({ is: 'paused' });
      monitor.report = { is: 'off' };
      clock.advance(5_000);
      await turn();
      monitor.report = { is: 'running' };
    };
    await one.reboot(1_000, never);
    expect(seen).toEqual([]);
    expect(signals).toEqual([]);
    monitor.say({ is: 'ending', end: off });
    monitor.say({ is: 'paused' }); // a machine is stopped on its way to the end
    expect(one.guest).toBe('running');
    resolve({ code: 0, signal: null, seen: true });
    expect(await endOf()).toEqual(off);
  });
});

test('let go of, it has no timer and no connection, and its end is not told', async () => {
  const { promise: exited, resolve } = child();
  await watched(exited);
  one.release();
  expect(clock.waiting).toBe(0);
  let told = false;
  void one.ended.then(() => {
    told = true;
  });
  resolve({ code: 0, signal: null, seen: true });
  for (let i = 0; i < 10; i++) await turn();
  monitor.say({ is: 'paused' });
  expect({ told, guest: one.guest, signals, waiting: clock.waiting }).toEqual({
    ...{ told: false, guest: 'running', signals: [], waiting: 0 },
  });
});

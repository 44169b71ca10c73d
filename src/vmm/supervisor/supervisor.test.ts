import { beforeEach, describe, expect, test } from 'vitest';
import { FakeClock, turn } from '../../../test/support/fake-clock.ts';
import { fakeFiles } from '../../../test/support/fake-files.ts';
import { FakeMonitor } from '../../../test/support/fake-monitor.ts';
import { memoryLog } from '../../../test/support/memory-log.ts';
import { Fault } from '../../domain/fault.ts';
import type { ProcessExit, Processes, ProcessInfo } from '../../ports/host.ts';
import type { RunningVmm, VmmConfig } from '../../ports/vmm.ts';
import { Starts } from './starts.ts';
import { type Launch, Supervisor } from './supervisor.ts';
import type { VmmProgram } from './vmm-program.ts';

const config: VmmConfig = {
  ...{ uid: 'U1', runDirectory: '/run/U1', stateDirectory: '/state/U1', user: 1, vcpu: 1, memoryInMb: 96 },
  ...{ kernel: '/k', cmdline: '', disks: [], nics: [], cgroups: ['/cgroups/U1'] },
};
const never = new AbortController().signal;

/** Processes by pid, as a host has them: they outlive the supervisor that started them. */
let table: Map<number, ProcessInfo>;
let exits: Map<number, (exit: ProcessExit) => void>;
let removed: string[];
let moved: number[];
let monitor: FakeMonitor;
let supervisor: Supervisor;
let texts: Record<string, string>;

const program: VmmProgram = {
  name: 'The VMM',
  consoleLog: () => '/state/U1/console.log',
  errorLog: () => '/state/U1/vmm.log',
  controlSocket: () => '/run/U1/control',
  sockets: () => ['/run/U1/control', '/run/U1/console'],
  startOptions: () => ({}),
  isOf:
    ({ uid }) =>
    (argv) =>
      argv.includes(uid),
  runOf: () => ({ monitor, accelerator: 'tcg', advice: '', counters: [] }),
  refusalOf: ({ code }, errors) => new Fault('refused', `it ended with ${code}: ${errors}`),
};

const processes: Processes = {
  async start(argv) {
    const pid = 100 + table.size;
    const { promise: exited, resolve } = Promise.withResolvers<ProcessExit>();
    const identity = { pid, startTime: String(pid), bootId: 'boot' };
    table.set(pid, { ...identity, argv, exe: '', zombie: false });
    exits.set(pid, resolve);
    texts['/state/U1/vmm.log'] = '';
    return { identity, exited };
  },
  moveInto: async (pid) => void moved.push(pid),
  inspect: async ({ pid }) => table.get(pid),
  find: async (match) => [...table.values()].filter(({ argv }) => match(argv)),
  async signal({ pid }, isOurs) {
    const info = table.get(pid);
    if (info && !isOurs(info.argv)) throw new Fault('refused', 'a stranger');
    table.delete(pid);
    exits.get(pid)?.({ code: null, signal: 'SIGKILL', seen: true });
    return info !== undefined;
  },
  ended: async ({ pid }, signal) => {
    if (!table.has(pid)) return;
    await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  },
  bootId: async () => 'boot',
  oomCounter: async () => undefined,
};

let clock: FakeClock;
/** Who looks for a VMM's socket. */
let watching: Map<() => void, string>;
const watch = (path: string, changed: () => void): (() => void) => {
  watching.set(changed, path);
  return () => void watching.delete(changed);
};
let starts: Starts;
const newSupervisor = (patience = 1, one = program): Supervisor =>
  new Supervisor(one, {
    patience,
    files: { ...fakeFiles(texts), remove: async (path) => void removed.push(path), watch },
    ...{ processes, clock, log: memoryLog(), starts },
  });
const begin = (launch: Launch): Promise<RunningVmm> => launch(['vmm', 'U1']);
const notBegun = (): Promise<RunningVmm> => Promise.reject(new Error('begun'));

beforeEach(() => {
  table = new Map();
  exits = new Map();
  removed = [];
  moved = [];
  texts = {};
  monitor = new FakeMonitor();
  clock = new FakeClock();
  watching = new Map();
  starts = new Starts(clock);
  supervisor = newSupervisor();
});

describe('a start', () => {
  test('that comes twice at once starts one process', async () => {
    const [first, again] = await Promise.all([
      supervisor.start(config, never, begin),
      supervisor.start(config, never, notBegun),
    ]);
    expect(again).toBe(first);
    expect(table.size).toBe(1);
  });

  test('speaks to the VMM as soon as there is a socket, and looks for one no longer', async () => {
    monitor.listens = false;
    const started = supervisor.start(config, never, begin);
    while (clock.waiting < 2) await turn();
    expect([...watching.values()]).toEqual(['/run/U1']);
    monitor.listens = true;
    for (const changed of watching.keys()) changed();
    await started; // no time has passed
    expect(watching.size).toBe(0);
  });

  test('lets its guest run once no other VMM starts', async () => {
    monitor.report = { is: 'ready' };
    const slow = Promise.withResolvers<void>();
    const other = starts.getReady(never, () => slow.promise);
    const started = supervisor.start(config, never, begin);
    while (monitor.connections === 0) await turn();
    for (let i = 0; i < 10; i++) await turn();
    expect(monitor.told).toEqual([]);
    slow.resolve();
    await other;
    expect((await started).guest).toBe('running');
    expect(monitor.told).toEqual(['begin']);
  });

  test('that the VMM refuses is told at once, and nothing of it is left', async () => {
    const why = new Fault('refused', 'no such disk', { reason: 'ProviderRefused' });
    monitor.connect = async () => {
      throw why;
    };
    await expect(supervisor.start(config, never, begin)).rejects.toBe(why);
    expect([table.size, clock.waiting]).toEqual([0, 0]);
  });

  test('makes ready what its process needs, after the sockets of the last one are gone', async () => {
    const done: string[] = [];
    const prepared: VmmProgram = { ...program, prepare: async () => void done.push(...removed, 'prepared') };
    supervisor = newSupervisor(1, prepared);
    await supervisor.start(config, never, begin);
    expect(done).toEqual(['/run/U1/control', '/run/U1/console', 'prepared']);
  });

  test('that dies while its guest waits for others says why', async () => {
    monitor.report = { is: 'ready' };
    const slow = Promise.withResolvers<void>();
    const other = starts.getReady(never, () => slow.promise);
    const started = supervisor.start(config, never, begin);
    const rejected = expect(started).rejects.toThrow('it ended with 3: no');
    while (monitor.connections === 0) await turn();
    texts['/state/U1/vmm.log'] = 'no';
    table.delete(100);
    exits.get(100)?.({ code: 3, signal: null, seen: true });
    await rejected;
    slow.resolve();
    await other;
  });

  test('finishes what a daemon before it began: a VMM whose guest stands still', async () => {
    await supervisor.start(config, never, begin);
    monitor.report = { is: 'ready' };
    const taken = await newSupervisor().start(config, never, notBegun);
    expect(taken.guest).toBe('running');
    expect(monitor.told).toEqual(['begin']);
  });

  test('ends a VMM that is found unfit before its guest runs an instruction', async () => {
    monitor.report = { is: 'ready' };
    const unfit = async ({ pid }: { readonly pid: number }): Promise<void> => {
      expect(table.has(pid)).toBe(true);
      throw new Fault('tool', 'it has a device of somebody else');
    };
    await expect(supervisor.start(config, never, begin, unfit)).rejects.toThrow('somebody else');
    expect(monitor.told).toEqual([]);
    expect(table.size).toBe(0);
    await supervisor.start(config, never, begin);
    await expect(newSupervisor().start(config, never, notBegun, unfit)).rejects.toThrow('somebody else');
    expect(table.size).toBe(0);
  });

  test('takes over what another daemon has started, and puts it where it belongs', async () => {
    const { process } = await supervisor.start(config, never, begin);
    const taken = await newSupervisor().start(config, never, notBegun);
    expect(taken.process).toEqual(process);
    expect(moved).toEqual([process.pid]);
    expect(monitor.connections).toBe(2);
  });

  test('that fails leaves neither process nor sockets, and the next one begins anew', async () => {
    monitor.listens = false;
    const failed = supervisor.start(config, never, async (launch) => {
      const started = launch(['vmm', 'U1']);
      while (!exits.has(100)) await turn();
      texts['/state/U1/vmm.log'] = 'no';
      table.delete(100);
      exits.get(100)?.({ code: 3, signal: null, seen: true });
      return started;
    });
    await expect(failed).rejects.toThrow('it ended with 3: no');
    expect(table.size).toBe(0);
    expect(removed.slice(-2)).toEqual(['/run/U1/control', '/run/U1/console']);
    monitor.listens = true;
    expect((await supervisor.start(config, never, begin)).guest).toBe('running');
  });

  test.each([1, 3])(
    'that is not answered ends when its time is up, on a slow host later (%s times)',
    async (patience) => {
      monitor.listens = false;
      const started = newSupervisor(patience).start(config, never, begin);
      const rejected = expect(started).rejects.toMatchObject({ kind: 'timeout', reason: 'Timeout' });
      while (clock.waiting < 2) {
        await turn();
      }
      clock.advance(patience * 150_000 - 1);
      for (let i = 0; i < 10; i++) await turn();
      expect(table.size).toBe(1);
      clock.advance(1);
      await rejected;
      expect(table.size).toBe(0);
    },
  );

  test('that is broken off ends its process, for the reason given', async () => {
    monitor.listens = false;
    const abort = new AbortController();
    const started = supervisor.start(config, abort.signal, begin);
    const rejected = expect(started).rejects.toThrow('a delete came');
    while (table.size === 0) await turn();
    abort.abort(new Error('a delete came'));
    await rejected;
    expect(table.size).toBe(0);
  });

  test('whose socket has too long a name is refused before anything is made', async () => {
    const deep = { ...program, sockets: () => [`/run/${'x'.repeat(110)}`] };
    const one = new Supervisor(deep, {
      files: fakeFiles({}),
      processes,
      clock,
      log: memoryLog(),
      starts: new Starts(clock),
    });
    await expect(one.start(config, never, begin)).rejects.toMatchObject({ reason: 'ProviderRefused' });
    expect(table.size).toBe(0);
  });
});

describe('an adoption', () => {
  test('of what is watched here already is that', async () => {
    const running = await supervisor.start(config, never, begin);
    expect(await supervisor.adopt(config, running.process, never)).toBe(running);
  });

  test('of a process that is gone, or another’s by now, tells its end', async () => {
    const { process } = await supervisor.start(config, never, begin);
    const other = newSupervisor();
    const stranger = { ...process, argv: ['vmm', 'U2'], exe: '', zombie: false };
    table.set(process.pid, stranger);
    expect(await other.adopt(config, process, never)).toMatchObject({ reason: 'VmmVanished' });
    table.delete(process.pid);
    expect(await other.adopt(config, process, never)).toMatchObject({ reason: 'VmmVanished' });
  });
});

describe('a stop', () => {
  test('ends the process and takes its sockets away; gone already is success', async () => {
    const { process } = await supervisor.start(config, never, begin);
    removed = [];
    await supervisor.stop(config, process, never);
    await supervisor.stop(config, undefined, never);
    expect(table.size).toBe(0);
    expect(new Set(removed)).toEqual(new Set(program.sockets(config)));
  });

  test('finds what no ledger names', async () => {
    await supervisor.start(config, never, begin);
    await newSupervisor().stop(config, undefined, never);
    expect(table.size).toBe(0);
  });

  test('never ends a stranger', async () => {
    const { process } = await supervisor.start(config, never, begin);
    table.set(process.pid, { ...process, argv: ['vmm', 'U2'], exe: '', zombie: false });
    await expect(supervisor.stop(config, process, never)).rejects.toMatchObject({ kind: 'refused' });
  });
});

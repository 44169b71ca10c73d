import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Misbehaviour, makeStandIn } from '../../../test/stand-ins/firecracker/program.ts';
import { infoBy } from '../../../test/support/agent-info.ts';
import { createNetns } from '../../../test/support/netns.ts';
import { clock } from '../../host/clock.ts';
import { converse } from '../../host/converse.ts';
import { files } from '../../host/files.ts';
import { createProcesses } from '../../host/processes.ts';
import { run } from '../../host/run.ts';
import type { Processes, Run } from '../../ports/host.ts';
import type { Log } from '../../ports/log.ts';
import type { RunningVmm, Vmm, VmmConfig, VmmDisk, VmmInfo } from '../../ports/vmm.ts';
import { Starts } from '../supervisor/starts.ts';
import { createFirecracker, type FirecrackerOptions } from './firecracker.ts';
import { isOf } from './layout.ts';

const silent = (): void => undefined;
const log: Log = { debug: silent, info: silent, warn: silent, error: silent };
// A start takes 0.3 s here, and 20 where the machine has twenty things to do at once.
vi.setConfig({ testTimeout: 300_000 });
const soon = (): AbortSignal => AbortSignal.timeout(120_000);
const patiently = { timeout: 100_000, interval: 20 };

let shared: string;
let binary: string;
let made = 0;

beforeAll(() => {
  shared = mkdtempSync(join(tmpdir(), 'fl-fc-program-'));
  binary = makeStandIn(shared);
});
afterAll(() => rmSync(shared, { recursive: true, force: true }));

/** One microVM's directories and config; everything of it is gone at the end of the test. */
interface Bed extends AsyncDisposable {
  readonly config: VmmConfig;
  readonly directory: string;
  firecracker(options?: Partial<FirecrackerOptions>): Promise<Vmm>;
  start(changes?: Partial<VmmConfig>): Promise<{ readonly vmm: Vmm; readonly running: RunningVmm }>;
  console(): string;
  until(line: RegExp): Promise<void>;
  /** Nothing of it runs, and its run-time directory is as it was. */
  nothingLeft(): Promise<void>;
}

/** @param word - what the guest, or its VMM, does: see the stand-in */
function makeBed(word = '', changes: Partial<VmmConfig> = {}): Bed {
  const directory = mkdtempSync(join(tmpdir(), 'fl-fc-'));
  const config: VmmConfig = {
    uid: `01TEST${process.pid.toString(36).toUpperCase()}${(++made).toString(36).toUpperCase()}`.padEnd(26, '0'),
    runDirectory: join(directory, 'run', 'vm'),
    stateDirectory: join(directory, 'state'),
    user: 77_001,
    vcpu: 2,
    memoryInMb: 96,
    kernel: join(directory, 'kernel'),
    cmdline: word === '' ? '' : `stand-in=${word}`,
    disks: [],
    nics: [],
    ...changes,
  };
  // As the daemon has it: root alone may enter.
  mkdirSync(config.runDirectory, { recursive: true, mode: 0o700 });
  mkdirSync(config.stateDirectory, { mode: 0o700 });
  writeFileSync(config.kernel, '\x7fELF', { mode: 0o600 });
  const console = (): string => {
    try {
      return readFileSync(join(config.stateDirectory, 'console.log'), 'utf8');
    } catch {
      return '';
    }
  };
  const firecracker = (options: Partial<FirecrackerOptions> = {}): Promise<Vmm> =>
    createFirecracker({
      binary,
      kvm: 'auto',
      jailer: '/nowhere/jailer',
      jail: 'off',
      devices: async () => ({ groups: [] }),
      path: process.env.PATH ?? '',
      whose: 'test',
      run,
      converse,
      files,
      processes: createProcesses(),
      clock,
      log,
      starts: new Starts(clock),
      ...options,
    });
  return {
    config,
    directory,
    firecracker,
    async start(more = {}) {
      const vmm = await firecracker();
      return { vmm, running: await vmm.start({ ...config, ...more }, soon()) };
    },
    console,
    until: (line) => expect.poll(console, patiently).toMatch(line) as unknown as Promise<void>,
    async nothingLeft() {
      expect(await runs(config)).toEqual([]);
      expect(readdirSync(config.runDirectory)).toEqual([]);
    },
    async [Symbol.asyncDispose]() {
      for (const { pid } of await runs(config)) process.kill(pid, 'SIGKILL');
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Where every user may run it. */
const program = (misbehaviour: Misbehaviour): string => makeStandIn(mkdtempSync(join(shared, 'p-')), misbehaviour);

const runs = (config: VmmConfig) => createProcesses().find(isOf(config));

function makeDisk(path: string, first: string, sectors: number): void {
  const bytes = Buffer.alloc(sectors * 512);
  bytes.write(first);
  writeFileSync(path, bytes, { mode: 0o600 });
}

describe('a guest', () => {
  test('that reads its disks is seen to, and what failed of them is counted', async () => {
    const counted: unknown[] = [];
    await using bed = makeBed('failing-disk');
    makeDisk(join(bed.directory, 'disk'), 'first', 8);
    const disk: VmmDisk = {
      ...{ id: 'one', path: join(bed.directory, 'disk'), format: 'raw', readOnly: false, isRoot: true },
    };
    const meter = { vmmFailures: (...told: unknown[]) => void counted.push(told) };
    const vmm = await bed.firecracker({ meter });
    const running = await vmm.start({ ...bed.config, disks: [disk] }, soon());
    await bed.until(/stand-in: up/);
    const { diskOperations = 0 } = await running.signs();
    expect(diskOperations).toBe(2); // one read, one write
    expect(counted).toEqual([['firecracker', 'disk', 1]]);
    expect((await running.signs()).diskOperations).toBe(2);

    // The next daemon begins to count anew.
    running.release();
    const next = await bed.firecracker({ meter });
    const adopted = await next.adopt({ ...bed.config, disks: [disk] }, running.process, soon());
    if (!('signs' in adopted)) throw new Error(adopted.message);
    expect((await adopted.signs()).diskOperations).toBe(0);
    await next.stop({ ...bed.config, disks: [disk] }, running.process, soon());
    await bed.nothingLeft();
  });

  test('runs as its own user, without any right beside', async () => {
    await using bed = makeBed();
    const { vmm, running } = await bed.start();
    expect(running.guest).toBe('running');
    await bed.until(/stand-in: up cpus=2 mib=96/);
    const status = readFileSync(`/proc/${running.process.pid}/status`, 'utf8');
    expect(status).toMatch(/^Uid:\t77001\t77001\t77001\t77001$/m);
    expect(status).toMatch(/^Gid:\t77001\t77001\t77001\t77001$/m);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    expect(status).toMatch(/^Groups:\s*$/m);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      expect(status).toMatch(new RegExp(`^${set}:\\t0+$`, 'm'));
    // It cannot put another socket in the place of its own.
    expect(statSync(bed.config.runDirectory).uid).toBe(0);
    await vmm.stop(bed.config, running.process, soon());
    await bed.nothingLeft();
  });

  test('has the words of its machine before its own, and what is put behind them still fits', async () => {
    await using bed = makeBed('', { guestWords: ['flintlock.mount=vdb:/a'], cmdline: 'quiet panic=9' });
    const { vmm } = await bed.start();
    await bed.until(/up/);
    expect(bed.console()).toMatch(
      /^Command line: console=ttyS0 reboot=k i8042\.\S+ i8042\.\S+ i8042\.\S+ flintlock\.mount=vdb:\/a quiet panic=9 pci=off virtio_mmio/,
    );
    await vmm.stop(bed.config, undefined, soon());
  });

  test('sees its disks in order, read-only where they are, and nobody else may open them', async () => {
    await using bed = makeBed();
    const { directory } = bed;
    const disks: VmmDisk[] = [
      { id: 'root', path: join(bed.config.stateDirectory, 'disk0'), format: 'raw', readOnly: false, isRoot: true },
      { id: 'a-shared.one', path: join(directory, 'golden'), format: 'raw', readOnly: true, isRoot: false },
      { id: 'cidata', path: join(bed.config.stateDirectory, 'cidata'), format: 'raw', readOnly: true, isRoot: false },
    ];
    disks.forEach(({ path, id }, i) => {
      makeDisk(path, `is ${id}`, 8 + i);
    });
    const { vmm } = await bed.start({ disks });
    await bed.until(/up/);
    expect(bed.console().replaceAll('\r', '')).toContain(
      'disk vda ro=0 sectors=8 first=is root.\ndisk vdb ro=1 sectors=9 first=is a-sha\ndisk vdc ro=1 sectors=10 first=is cidat\n',
    );
    expect(bed.console()).toMatch(/ root=\/dev\/vda rw /);
    expect(readFileSync(join(bed.config.stateDirectory, 'disk0'), 'utf8')).toContain('written by the guest');
    expect(statSync(join(bed.config.stateDirectory, 'disk0')).mode & 0o777).toBe(0o600);
    expect(statSync(join(directory, 'golden'))).toMatchObject({ uid: 0 });
    await vmm.stop(bed.config, undefined, soon());
  });

  test('has its interfaces by their names, and a tap that is taken is told', async () => {
    await using netns = await createNetns();
    const limits = { signal: soon(), timeoutMs: 60_000 };
    for (const device of ['fltest0', 'fltest1'])
      await netns.run(['ip', 'tuntap', 'add', 'dev', device, 'mode', 'tap'], limits);
    const nics = [
      { device: 'fltest1', mac: '02:00:00:00:00:2a' },
      { device: 'fltest0', mac: '02:00:00:00:00:2b', mtu: 1_400 },
    ];
    await using bed = makeBed('', { nics });
    const vmm = await bed.firecracker({ processes: withTun(netns.processes), run: netns.run });
    await vmm.start(bed.config, soon());
    await bed.until(/up/);
    expect(bed.console()).toContain('nic eth0 mac=02:00:00:00:00:2a tap=fltest1 mtu=1500\r\n');
    expect(bed.console()).toContain('nic eth1 mac=02:00:00:00:00:2b tap=fltest0 mtu=1400\r\n');
    // Nobody else plugs into it when this one is away.
    expect(await netns.run(['ip', '-details', 'link', 'show', 'dev', 'fltest0'], limits)).toMatch(/ user 77001/);
    await using other = makeBed('', { nics });
    const second = await other.firecracker({ processes: withTun(netns.processes), run: netns.run });
    await expect(second.start(other.config, soon())).rejects.toMatchObject({
      ...{ kind: 'tool', reason: 'ProviderRefused' },
      message: expect.stringMatching(/will not have interface fltest1.*busy/),
    });
    await other.nothingLeft();
    await vmm.stop(bed.config, undefined, soon());
  });
});

test('on a PCI bus its devices are in no word for the kernel', async () => {
  await using bed = makeBed('', { options: { 'firecracker.pci': 'on' } });
  const { vmm } = await bed.start();
  await bed.until(/up/);
  expect(bed.console()).not.toMatch(/virtio_mmio|pci=off/);
  await vmm.stop(bed.config, undefined, soon());
  await bed.nothingLeft();
});

describe('metadata', () => {
  /** The most that a spec may have, each byte of which JSON writes with six. */
  const long = '\u0001'.repeat(51_200);

  test.each([
    ['v1', 'first', 'ask /latest/user-data'],
    ['v2', '401', 'ask-with-token /latest/user-data'],
  ] as const)(
    '%s is what Firecracker answers who may ask, and another when it is set',
    async (version, without, ask) => {
      await using netns = await createNetns();
      const limits = { signal: soon(), timeoutMs: 60_000 };
      const nics = ['fltest0', 'fltest1'].map((device, i) => ({ device, mac: `02:00:00:00:00:2${i}` }));
      for (const { device } of nics) await netns.run(['ip', 'tuntap', 'add', 'dev', device, 'mode', 'tap'], limits);
      const metadata = { version, data: { latest: { 'user-data': 'first', long } } };
      await using bed = makeBed('', {
        nics: nics.map((nic, i) => (i === 1 ? { ...nic, asksMetadata: true } : nic)),
        metadata,
      });
      const vmm = await bed.firecracker({ processes: withTun(netns.processes), run: netns.run });
      const running = await vmm.start(bed.config, soon());
      await bed.until(new RegExp(`mmds ${version.toUpperCase()} on net1\r\n`));
      const channel = await vmm.openChannel(bed.config, 'console', soon());
      const type = (line: string): Promise<void> => channel.write(Buffer.from(`${line}\n`));
      await type('ask /latest/user-data');
      await bed.until(new RegExp(`mmds says: ${without}`));
      await type(ask);
      await bed.until(/mmds says: first/);
      await running.setMetadata?.({ latest: { 'user-data': 'second' } }, soon());
      await type(ask);
      await bed.until(/mmds says: second/);
      // As it asks a daemon that has taken it over.
      running.release();
      const later = await bed.firecracker({ processes: withTun(netns.processes), run: netns.run });
      const adopted = await later.adopt(bed.config, running.process, soon());
      if ('reason' in adopted) throw new Error(adopted.message);
      await adopted.setMetadata?.({ latest: { 'user-data': 'third' } }, soon());
      await type(ask);
      await bed.until(/mmds says: third/);
      channel.close();
      await later.stop(bed.config, undefined, soon());
      await bed.nothingLeft();
    },
  );
});

describe('the way to the agent of a guest', () => {
  const ask = async (vmm: Vmm, config: VmmConfig): Promise<string> => {
    const { version, features } = await infoBy((...to) => vmm.agentDial?.(config)?.(...to) ?? never(), soon());
    return `${version} ${features.includes('tty')}`;
  };
  const never = () => Promise.reject(new Error('it has none'));

  test('is its vsock, whose directory is not its VMM’s any more; the last run’s is taken away', async () => {
    await using bed = makeBed();
    const { vmm, running } = await bed.start();
    await expect.poll(() => ask(vmm, bed.config), patiently).toBe('1 true');
    expect(statSync(bed.config.runDirectory).uid).toBe(0);
    const socket = statSync(join(bed.config.runDirectory, 'agent.sock'));
    expect([socket.isSocket(), socket.uid]).toEqual([true, 77_001]);
    await expect(vmm.agentDial?.(bed.config)?.(7, soon())).rejects.toMatchObject({ kind: 'tool' });
    await expect(vmm.agentDial?.({ ...bed.config, user: 77_002 })?.(1024, soon())).rejects.toMatchObject({
      kind: 'refused',
    });

    // One that is paused answers when it goes on.
    await running.pause(soon());
    const later = ask(vmm, bed.config);
    await running.resume(soon());
    expect(await later).toBe('1 true');

    process.kill(running.process.pid, 'SIGKILL');
    await running.ended;
    expect(readdirSync(bed.config.runDirectory)).toContain('agent.sock');
    const again = await vmm.start(bed.config, soon());
    await expect.poll(() => ask(vmm, bed.config), patiently).toBe('1 true');
    await vmm.stop(bed.config, again.process, soon());
    await bed.nothingLeft();
  });

  test('is none where it is off', async () => {
    await using bed = makeBed('', { options: { agent: 'off' } });
    const { vmm, running } = await bed.start();
    await expect(vmm.agentDial?.(bed.config)?.(1024, soon())).rejects.toMatchObject({ kind: 'refused' });
    await vmm.stop(bed.config, running.process, soon());
  });
});

const real = process.env.FLINTLOCK_TEST_FIRECRACKER ?? '';

test.skipIf(real === '')('the real program takes all that it is told of a machine', async () => {
  await using netns = await createNetns();
  const limits = { signal: soon(), timeoutMs: 60_000 };
  await netns.run(['ip', 'tuntap', 'add', 'dev', 'fltest0', 'mode', 'tap'], limits);
  const nic = { device: 'fltest0', mac: '02:00:00:00:00:2a', mtu: 1_400, asksMetadata: true } as const;
  const metadata = { version: 'v2', data: { latest: { long: '\u0001'.repeat(51_200) } } } as const;
  await using bed = makeBed('', { nics: [nic], metadata });
  const disks: VmmDisk[] = [
    { id: 'root', path: join(bed.config.stateDirectory, 'disk0'), format: 'raw', readOnly: false, isRoot: true },
    { id: 'shared', path: join(bed.directory, 'golden'), format: 'raw', readOnly: true, isRoot: false },
  ];
  for (const { path } of disks) makeDisk(path, 'a disk', 8);
  const vmm = await bed.firecracker({ binary: real, processes: withTun(netns.processes), run: netns.run });
  expect(await vmm.info()).toMatchObject({ available: true, version: expect.stringMatching(/^1\.\d+\./) });
  // Without KVM for its user, or with a kernel that is none: the start is what it refuses, and nothing before.
  await expect(vmm.start({ ...bed.config, disks, initrd: bed.config.kernel }, soon())).rejects.toMatchObject({
    ...{ kind: 'refused', reason: 'ProviderRefused' },
    message: expect.stringMatching(/^Firecracker will not start the guest: Start microvm error: /),
  });
  await bed.nothingLeft();
  expect(bed.console()).toBe('');
});

/** Every user may open /dev/net/tun, as udev has it, in a mount namespace that ends with the VMM. */
function withTun(processes: Processes): Processes {
  const nodes = 'mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200 && exec "$@"';
  return {
    ...processes,
    start: (argv, options) => processes.start(['unshare', '--mount', '--', 'sh', '-c', nodes, 'sh', ...argv], options),
  };
}

test('the console is a channel: what is typed comes back, also to a later daemon, and it has one owner at a time', async () => {
  await using bed = makeBed();
  const { vmm, running } = await bed.start();
  await bed.until(/up/);
  const type = async (vmm: Vmm, words: string): Promise<void> => {
    const console = await vmm.openChannel(bed.config, 'console', soon());
    await expect(vmm.openChannel(bed.config, 'console', soon())).rejects.toMatchObject({ kind: 'conflict' });
    let seen = '';
    const reading = (async () => {
      for await (const bytes of console.read(soon())) seen += Buffer.from(bytes).toString();
    })();
    await console.write(Buffer.from(`${words}\r`));
    await expect.poll(() => seen, patiently).toContain(words);
    expect(seen).not.toContain('stand-in: up'); // said before
    console.close();
    await reading;
  };
  await type(vmm, 'is anybody there');
  running.release();
  await type(await bed.firecracker(), 'who came later');
  await vmm.stop(bed.config, undefined, soon());
  await expect(vmm.openChannel(bed.config, 'console', soon())).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringContaining('is the guest still running?'),
  });
});

test('the console keeps all, over several runs', async () => {
  await using bed = makeBed('megabyte');
  const { vmm, running } = await bed.start();
  await expect.poll(() => bed.console().length, patiently).toBeGreaterThan(1 << 20);
  expect(bed.console()).toContain(`${'16383'.padStart(62, '.')}\r\n`);
  await vmm.stop(bed.config, running.process, soon());
  const next = await vmm.start({ ...bed.config, cmdline: '' }, soon());
  await bed.until(/16383\r\n.*stand-in: up/s);
  expect(next.bootedAt).toBeGreaterThan(1 << 20);
  await vmm.stop(bed.config, undefined, soon());
});

test('a guest is paused and goes on', async () => {
  await using bed = makeBed();
  const { vmm, running } = await bed.start();
  const seen: string[] = [];
  running.onGuest((state) => seen.push(state));
  await running.pause(soon());
  await running.resume(soon());
  expect(seen).toEqual(['paused', 'running']);
  expect(vmm.capabilities).toMatchObject({ rebootInPlace: false, powerButton: true });
  await running.pause(soon());
  running.release();
  const later = await (await bed.firecracker()).adopt(bed.config, running.process, soon());
  expect(later).toMatchObject({ guest: 'paused' });
  await vmm.stop(bed.config, undefined, soon());
});

describe('Ctrl-Alt-Del, its power button,', () => {
  test('ends a guest that hears it, a paused one too', async () => {
    await using bed = makeBed();
    const { running } = await bed.start();
    await bed.until(/up/);
    await running.pause(soon());
    expect(await running.pressPower(soon())).toBe(true);
    expect(await running.ended).toMatchObject({ reason: 'GuestReset', isReset: true });
  });

  test('is in vain with a kernel that has no driver for it', async () => {
    await using bed = makeBed('no-vt');
    const { vmm, running } = await bed.start();
    await bed.until(/up/);
    expect(await running.pressPower(soon())).toBe(true);
    expect(running.guest).toBe('running');
    await vmm.stop(bed.config, running.process, soon());
  });
});

describe('the end of a run', () => {
  test.each([
    ['reboot', { reason: 'GuestReset', message: expect.stringContaining('reset its machine') }],
    ['quiet-reboot', { reason: 'GuestReset' }],
    ['panic', { reason: 'GuestPanic', message: "The guest's kernel panicked: sysrq triggered crash" }],
    ['die', { reason: 'VmmKilled', message: expect.stringContaining('SIGSEGV') }],
    ['bad-syscall', { reason: 'VmmExited', message: expect.stringMatching(/148: it made a system call/) }],
    // It runs on for ever: that its console says no more is seen after two looks.
    ['poweroff', { reason: 'GuestShutdown', message: 'The guest powered itself off' }],
    ['stands', { reason: 'GuestPanic', message: "The guest's kernel panicked: no init" }],
  ])('by %s', async (word, end) => {
    await using bed = makeBed(word);
    const { vmm, running } = await bed.start();
    expect(await running.ended).toMatchObject(end);
    await vmm.stop(bed.config, running.process, soon());
    await bed.nothingLeft();
  });

  test.each(['SIGKILL', 'SIGTERM'] as const)('%s is told with its name, within a second', async (signal) => {
    await using bed = makeBed();
    const { running } = await bed.start();
    process.kill(running.process.pid, signal);
    const at = performance.now();
    expect(await running.ended).toMatchObject({ reason: 'VmmKilled', message: expect.stringContaining(signal) });
    expect(performance.now() - at).toBeLessThan(1_000);
  });

  test('after which its socket is still there, keeps nothing from starting again', async () => {
    await using bed = makeBed('reboot');
    const { vmm, running } = await bed.start();
    await running.ended;
    expect(readdirSync(bed.config.runDirectory)).toEqual(['agent.sock', 'api.sock', 'console.in', 'metrics']);
    const next = await vmm.start({ ...bed.config, cmdline: '' }, soon());
    expect(next.guest).toBe('running');
    await vmm.stop(bed.config, next.process, soon());
    await bed.nothingLeft();
  });
});

describe('a second daemon', () => {
  test('adopts what the first let go, and sees it vanish within a second', async () => {
    await using bed = makeBed();
    const { running: first } = await bed.start();
    first.release();
    const vmm = await bed.firecracker();
    const adopted = await vmm.adopt(bed.config, first.process, soon());
    if ('reason' in adopted) throw new Error(adopted.message);
    expect(adopted).toMatchObject({ guest: 'running', process: first.process });
    process.kill(first.process.pid, 'SIGKILL');
    const at = performance.now();
    expect((await adopted.ended).reason).toBe('VmmVanished');
    expect(performance.now() - at).toBeLessThan(1_000);
    expect(await vmm.adopt(bed.config, first.process, soon())).toMatchObject({ reason: 'VmmVanished' });
  });

  test.each([
    ['reboot', 'GuestReset'],
    ['panic', 'GuestPanic'],
  ])('learns from the console how one ended that it was away for: by %s', async (word, reason) => {
    await using bed = makeBed(word);
    const { running } = await bed.start();
    running.release();
    await expect.poll(() => runs(bed.config), patiently).toEqual([]);
    expect(await (await bed.firecracker()).adopt(bed.config, running.process, soon())).toMatchObject({ reason });
  });

  test('starts no second process: the one that runs is taken over', async () => {
    await using bed = makeBed();
    const vmm = await bed.firecracker();
    const [first, again] = await Promise.all([vmm.start(bed.config, soon()), vmm.start(bed.config, soon())]);
    expect(again.process).toEqual(first.process);
    first.release();
    const other = await bed.firecracker();
    const taken = await other.start(bed.config, soon());
    expect(taken).toMatchObject({ guest: 'running', process: first.process });
    expect(await runs(bed.config)).toHaveLength(1);
    await other.stop(bed.config, undefined, soon());
    await other.stop(bed.config, taken.process, soon());
    await bed.nothingLeft();
  });

  test('ends one that was left with half of a machine, and the next start is a new one', async () => {
    await using bed = makeBed('refuse');
    // As of a daemon that died before it was told all.
    const dies = new AbortController();
    const processes = createProcesses();
    const stuck: Processes = { ...processes, signal: async () => true, ended: async () => undefined };
    const first = (
      await bed.firecracker({ processes: stuck, files: { ...files, remove: async () => undefined } })
    ).start(bed.config, AbortSignal.any([dies.signal, soon()]));
    await expect(first).rejects.toThrow(/told to refuse/);
    expect(await runs(bed.config)).toHaveLength(1);
    const disk = join(bed.config.stateDirectory, 'disk');
    makeDisk(disk, 'x', 8);
    const config: VmmConfig = {
      ...{ ...bed.config, cmdline: '' },
      disks: [{ id: 'd', path: disk, format: 'raw', readOnly: false, isRoot: true }],
    };
    const vmm = await bed.firecracker();
    const running = await vmm.start(config, soon()).catch(() => vmm.start(config, soon()));
    await bed.until(/disk vda/);
    await vmm.stop(bed.config, running.process, soon());
    await bed.nothingLeft();
  });
});

describe('a start that fails', () => {
  const refused = (message: RegExp, kind = 'refused') => ({
    ...{ kind, reason: 'ProviderRefused' },
    message: expect.stringMatching(message),
  });

  test('for a disk that is not there is told in its words, with the file', async () => {
    const disk = { id: 'd', path: '/nowhere/disk', format: 'raw', readOnly: true, isRoot: false } as const;
    await using bed = makeBed('', { disks: [disk] });
    await expect(bed.start()).rejects.toThrow(/\/nowhere\/disk.*ENOENT/);
    await bed.nothingLeft();
  });

  test.each([
    ['refuse', refused(/will not have the random number generator: .*told to refuse/)],
    ['no-kvm', refused(/will not start the guest: .*KVM.*Permission denied/)],
    ['exit', refused(/exit status 1 before the guest ran: Error: it went wrong/)],
  ])('because it does %s', async (word, fault) => {
    await using bed = makeBed(word);
    await expect(bed.start()).rejects.toMatchObject(fault);
    await bed.nothingLeft();
  });

  test('for a kernel that is none', async () => {
    await using bed = makeBed();
    writeFileSync(bed.config.kernel, 'no kernel');
    await expect(bed.start()).rejects.toMatchObject(refused(/will not start the guest: .*invalid kernel image/));
    await bed.nothingLeft();
  });

  test('because the program ends at once', async () => {
    await using bed = makeBed();
    const vmm = await bed.firecracker({ binary: program({ how: 'exits' }) });
    await expect(vmm.start(bed.config, soon())).rejects.toMatchObject(
      refused(/exit status 1 before the guest ran: Error: nothing would do/),
    );
    await bed.nothingLeft();
  });

  test('because the program never listens', async () => {
    await using bed = makeBed();
    const vmm = await bed.firecracker({ binary: program({ how: 'never-listens' }) });
    await expect(vmm.start(bed.config, AbortSignal.timeout(15_000))).rejects.toMatchObject({ reason: 'Timeout' });
    await bed.nothingLeft();
  });

  test('because it does not answer to the start is ended in time', async () => {
    await using bed = makeBed('hang');
    const vmm = await bed.firecracker();
    const enough = new AbortController();
    const started = vmm.start(bed.config, enough.signal);
    const why = new Error('a delete came');
    const rejected = expect(started).rejects.toBe(why);
    await expect.poll(() => runs(bed.config), patiently).toHaveLength(1);
    enough.abort(why);
    await rejected;
    await bed.nothingLeft();
  });
});

describe('misbehaviour of one that runs', () => {
  test('slow answers are waited for', async () => {
    await using bed = makeBed('slow');
    const { vmm, running } = await bed.start();
    expect(running.guest).toBe('running');
    await vmm.stop(bed.config, undefined, soon());
  });

  test.each(['deaf', 'garbage'])('%s: it is unreachable, and ended all the same', async (word) => {
    await using bed = makeBed(word);
    const { running: first } = await bed.start();
    first.release();
    const vmm = await bed.firecracker();
    const adopted = await vmm.adopt(bed.config, first.process, soon());
    if ('reason' in adopted) throw new Error(adopted.message);
    expect(adopted.guest).toBe('unreachable');
    await expect(adopted.pause(soon())).rejects.toMatchObject({ kind: 'tool', reason: 'VmmUnreachable' });
    await vmm.stop(bed.config, adopted.process, soon());
    await bed.nothingLeft();
  });
});

describe('a program that cannot be used is told with what to do, and holds nobody up:', () => {
  const told = async (path: string, changes: Partial<FirecrackerOptions> = {}): Promise<VmmInfo> => {
    await using bed = makeBed();
    const vmm = await bed.firecracker({ binary: path, ...changes });
    const info = await vmm.info();
    await expect(vmm.start(bed.config, soon())).rejects.toMatchObject({
      kind: 'refused',
      reason: 'ProviderUnavailable',
    });
    await bed.nothingLeft();
    return info;
  };
  const file = (text: string, mode = 0o755): string => {
    const path = join(mkdtempSync(join(shared, 'f-')), 'firecracker');
    writeFileSync(path, text);
    chmodSync(path, mode);
    return path;
  };
  const short: Run = (argv, limits) => run(argv, { ...limits, timeoutMs: Math.min(limits.timeoutMs, 3_000) });

  const cases: readonly (readonly [string, () => string, RegExp])[] = [
    ['none', () => '/nowhere/firecracker', /not installed/],
    ['a directory', () => shared, /is a directory/],
    ['not executable', () => file('#!/bin/sh\n', 0o644), /not executable/],
    [
      'a script that does something else',
      () => file('#!/bin/sh\necho hello\n'),
      /it is no Firecracker: it said "hello"/,
    ],
    ['of another kind of machine', () => file('\x7fELFnot for this one'), /Exec format error|exit status 12\d/],
    ['without a version', () => program({ how: 'silent' }), /prints no version/],
    ['too old', () => program({ version: '1.6.9' }), /is Firecracker 1\.6\.9, and must be 1\.7 or later/],
    ['failing', () => file('#!/bin/sh\necho broken >&2; exit 3\n'), /exit status 3.*broken/],
  ];
  test.each(cases)('%s', async (_, path, words) => {
    const info = await told(path());
    expect(info).toMatchObject({ available: false, unavailableReason: expect.stringMatching(words) });
    expect(info.unavailableReason).toContain('--firecracker-bin');
  });

  test('hanging', async () => {
    const info = await told(program({ how: 'hangs' }), { run: short });
    expect(info.unavailableReason).toMatch(/hangs, or this host is far too slow.*--firecracker-bin/);
  });

  test('without KVM', async () => {
    const why = 'Firecracker needs KVM. There is no /dev/kvm';
    expect(await told(binary, { devices: async () => ({ groups: [], why }) })).toMatchObject({
      ...{ available: false, unavailableReason: why, version: '1.17.0-dev' },
    });
  });

  test('one that is put there later is found', async () => {
    await using bed = makeBed();
    const path = join(bed.directory, 'bin', 'firecracker');
    const vmm = await bed.firecracker({ binary: path });
    expect(await vmm.info()).toMatchObject({ available: false });
    makeStandIn(join(bed.directory, 'bin'));
    expect(await vmm.info()).toMatchObject({ available: true, version: '1.17.0-dev' });
  });
});

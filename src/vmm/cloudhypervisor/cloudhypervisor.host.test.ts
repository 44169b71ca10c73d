import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { type Misbehaviour, makeStandIn } from '../../../test/stand-ins/cloudhypervisor/program.ts';
import { infoBy } from '../../../test/support/agent-info.ts';
import { createNetns } from '../../../test/support/netns.ts';
import { layOverlay } from '../../../test/support/overlay-file.ts';
import { clock } from '../../host/clock.ts';
import { converse } from '../../host/converse.ts';
import { files } from '../../host/files.ts';
import { createProcesses } from '../../host/processes.ts';
import { run } from '../../host/run.ts';
import type { ProcessIdentity } from '../../ports/host.ts';
import type { Log } from '../../ports/log.ts';
import type { RunningVmm, Vmm, VmmConfig } from '../../ports/vmm.ts';
import { Starts } from '../supervisor/starts.ts';
import { type CloudHypervisorOptions, createCloudHypervisor } from './cloudhypervisor.ts';
import { agentSocket, apiSocket, identifyingArgument, isOf } from './layout.ts';
import { LANDLOCK_TRIAL } from './perl.ts';

const DAEMON = fileURLToPath(new URL('../../../test/stand-ins/cloudhypervisor/daemon.ts', import.meta.url));
const silent = (): void => undefined;
const log: Log = { debug: silent, info: silent, warn: silent, error: silent };

let programs: string;
let standIn: string;
let made = 0;

beforeAll(() => {
  programs = mkdtempSync(join(tmpdir(), 'fl-ch-programs-'));
  standIn = makeStandIn(programs);
});
afterAll(() => rmSync(programs, { recursive: true, force: true }));

/** One microVM's directories and config; everything of it is gone at the end of the test. */
interface Bed extends AsyncDisposable {
  readonly config: VmmConfig;
  vmm(options?: Partial<CloudHypervisorOptions>): Promise<Vmm>;
  console(): string;
  until(line: RegExp): Promise<void>;
}

function makeBed(words = '', changes: Partial<VmmConfig> = {}): Bed {
  const uid = `01TEST${process.pid.toString(36).toUpperCase()}${(++made).toString(36).toUpperCase()}`.padEnd(26, '0');
  const directory = mkdtempSync(join(tmpdir(), 'fl-ch-'));
  const kernel = join(directory, 'vmlinux');
  writeFileSync(kernel, '\x7fELF', { mode: 0o600 });
  const config: VmmConfig = {
    uid,
    runDirectory: join(directory, 'run', uid),
    stateDirectory: join(directory, 'state', uid),
    user: 77_002,
    vcpu: 2,
    memoryInMb: 96,
    kernel,
    cmdline: words === '' ? '' : `stand-in=${words}`,
    disks: [],
    nics: [],
    ...changes,
  };
  mkdirSync(config.runDirectory, { mode: 0o700, recursive: true });
  mkdirSync(config.stateDirectory, { mode: 0o700, recursive: true });
  const console = (): string => {
    try {
      return readFileSync(join(config.stateDirectory, 'console.log'), 'utf8');
    } catch {
      return '';
    }
  };
  return {
    config,
    vmm: (options = {}) =>
      createCloudHypervisor({
        ...{ binary: standIn, path: process.env.PATH ?? '', whose: 'test', kvm: 'trust', landlock: 'off' },
        ...{ run, converse, files, processes: createProcesses(), clock, log, starts: new Starts(clock) },
        ...options,
      }),
    console,
    until: (line) => expect.poll(console, { timeout: 60_000, interval: 20 }).toMatch(line) as unknown as Promise<void>,
    async [Symbol.asyncDispose]() {
      for (const { pid } of await createProcesses().find(isOf(config))) process.kill(pid, 'SIGKILL');
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

vi.setConfig({ testTimeout: 120_000 });
const soon = (): AbortSignal => AbortSignal.timeout(60_000);
const runs = (config: VmmConfig) => createProcesses().find(isOf(config));
const statusOf = (running: RunningVmm): string => readFileSync(`/proc/${running.process.pid}/status`, 'utf8');

describe('a guest', () => {
  test('runs, confined to its own user, without new privileges', async () => {
    await using bed = makeBed();
    const vmm = await bed.vmm();
    const running = await vmm.start(bed.config, soon());
    expect(running).toMatchObject({ guest: 'running', accelerator: 'kvm' });
    await bed.until(/stand-in: up cpus=2 mib=96/);
    expect(bed.console()).toContain('Command line: console=ttyS0 reboot=k panic=-1\r\n');
    const status = statusOf(running);
    expect(status).toMatch(/^Uid:\t77002\t77002\t77002\t77002$/m);
    expect(status).toMatch(/^Gid:\t77002\t77002\t77002\t77002$/m);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
      expect(status).toMatch(new RegExp(`^${set}:\\t0+$`, 'm'));
    // CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_SETGID and CAP_SETUID, of use to root alone.
    expect(status).toMatch(/^CapBnd:\t00000000000000cb$/m);
    await vmm.stop(bed.config, running.process, soon());
    expect(await runs(bed.config)).toEqual([]);
    expect(await files.stat(apiSocket(bed.config))).toBeUndefined();
  });

  test('sees its disks in order, with serials, read-only where they are', async () => {
    await using bed = makeBed();
    const disk = (name: string, bytes: Uint8Array, readOnly: boolean) => {
      const path = join(bed.config.stateDirectory, name);
      writeFileSync(path, bytes, { mode: 0o600 });
      return { id: name, path, format: 'raw' as const, readOnly, isRoot: name === 'one' };
    };
    const sector = (text: string) => Buffer.concat([Buffer.from(text), Buffer.alloc(1 << 20)]).subarray(0, 1 << 20);
    const disks = [
      disk('data', sector('DATA'), false),
      disk('one', sector('ROOT'), false),
      disk('gold', sector('GOLD'), true),
    ];
    const vmm = await bed.vmm();
    const running = await vmm.start({ ...bed.config, disks }, soon());
    await bed.until(/stand-in: up/);
    const seen = bed.console().match(/^disk .*$/gm);
    expect(seen).toEqual([
      'disk vda ro=0 sectors=2048 first=DATA.... serial=data type=Raw',
      'disk vdb ro=0 sectors=2048 first=ROOT.... serial=one type=Raw',
      'disk vdc ro=1 sectors=2048 first=GOLD.... serial=gold type=Raw',
    ]);
    expect(bed.console()).toContain('root=/dev/vdb rw');
    expect(
      readFileSync(disks[0]?.path ?? '')
        .subarray(512, 532)
        .toString(),
    ).toBe('written by the guest');
    // Its own belong to its user, the shared one to root still.
    expect(statSync(disks[1]?.path ?? '')).toMatchObject({ uid: 77_002, gid: 77_002 });
    expect(statSync(disks[2]?.path ?? '')).toMatchObject({ uid: 0, gid: 0 });
    expect((await running.signs()).diskOperations).toBeGreaterThan(0);
    await vmm.stop(bed.config, running.process, soon());
  });

  test.each(['off', 'on'] as const)('writes to an overlay over a shared disk, Landlock is %s', async (landlock) => {
    await using bed = makeBed();
    // Where its user may not go.
    const images = mkdtempSync(join(tmpdir(), 'fl-ch-images-'));
    onTestFinished(() => rmSync(images, { recursive: true, force: true }));
    const backing = join(images, 'golden.img');
    writeFileSync(backing, Buffer.concat([Buffer.from('GOLD'), Buffer.alloc(1 << 20)]).subarray(0, 1 << 20), {
      mode: 0o600,
    });
    const path = join(bed.config.stateDirectory, 'disk0.qcow2');
    await layOverlay(path, backing, 1 << 20);
    const before = readFileSync(path);
    const disks = [{ id: 'root', path, format: 'qcow2' as const, backing, readOnly: false, isRoot: true }];
    const vmm = await bed.vmm({ landlock });
    for (let boot = 1; boot <= 2; boot++) {
      const running = await vmm.start({ ...bed.config, disks }, soon());
      await bed.until(/stand-in: up/);
      expect(bed.console()).toContain('disk vda ro=0 sectors=2048 first=GOLD.... serial=root type=Qcow2');
      await vmm.stop(bed.config, running.process, soon());
      rmSync(join(bed.config.stateDirectory, 'console.log'));
      // As who repairs it leaves it: without a word of what its base is.
      const file = openSync(path, 'r+');
      if (boot === 1) writeSync(file, Buffer.alloc(8), 0, 8, 104);
      closeSync(file);
    }
    expect(statSync(backing)).toMatchObject({ uid: 0, gid: 0 });
    // The name in it is another one, as long; all else is as it was.
    const below = '/proc/self/fd/26'.padStart(backing.length, '/');
    expect(readFileSync(path).equals(Buffer.from(before.toString('latin1').replace(backing, below), 'latin1'))).toBe(
      true,
    );
  });

  test('is typed to, and what it writes is read from then on', async () => {
    await using bed = makeBed();
    const vmm = await bed.vmm();
    const running = await vmm.start(bed.config, soon());
    await bed.until(/stand-in: up/);
    const channel = await vmm.openChannel(bed.config, 'console', soon());
    await expect(vmm.openChannel(bed.config, 'console', soon())).rejects.toMatchObject({ kind: 'conflict' });
    await channel.write(Buffer.from('\u0003hé\u0000llo\r'));
    let heard = '';
    for await (const bytes of channel.read(soon())) {
      heard += Buffer.from(bytes).toString();
      if (heard.includes('llo\r\n')) break;
    }
    expect(heard).toBe('\u0003hé\u0000llo\r\n');
    // Much more than a terminal holds.
    const line = `${'x'.repeat(99)}\r`;
    await channel.write(Buffer.from(line.repeat(2_000)));
    await expect.poll(() => bed.console().split('x'.repeat(99)).length, { timeout: 60_000 }).toBe(2_001);
    channel.close();
    await channel.closed;
    await expect(channel.write(Buffer.from('a'))).rejects.toMatchObject({ kind: 'refused' });
    const again = await vmm.openChannel(bed.config, 'console', soon());
    await again.write(Buffer.from('again\r'));
    await bed.until(/again/);
    await vmm.stop(bed.config, running.process, soon());
    await again.closed;
    await expect(vmm.openChannel(bed.config, 'console', soon())).rejects.toMatchObject({ kind: 'refused' });
  });

  test('has its interfaces in order, each by a descriptor of its tap', async () => {
    await using netns = await createNetns();
    await using bed = makeBed();
    const limits = { signal: soon(), timeoutMs: 30_000 };
    for (const name of ['flch0', 'flch1']) await netns.run(['ip', 'tuntap', 'add', 'dev', name, 'mode', 'tap'], limits);
    const vmm = await bed.vmm({ run: netns.run });
    const nics = [
      { device: 'flch1', mac: '02:00:00:00:00:01' },
      { device: 'flch0', mac: '02:00:00:00:00:02' },
    ];
    const running = await vmm.start({ ...bed.config, nics }, soon());
    await bed.until(/stand-in: up/);
    // IFF_TAP, IFF_NO_PI and IFF_VNET_HDR; and it is persistent.
    expect(bed.console().match(/^nic .*$/gm)).toEqual([
      `nic eth0 mac=02:00:00:00:00:01 device=flch1/${0x5802}`,
      `nic eth1 mac=02:00:00:00:00:02 device=flch0/${0x5802}`,
    ]);
    const other = makeBed('', { nics: [{ device: 'flch0', mac: '02:00:00:00:00:03' }] });
    await using _ = other;
    await expect(vmm.start(other.config, soon())).rejects.toMatchObject({
      ...{ kind: 'tool', reason: 'ProviderRefused' },
      message: /cannot open the tap flch0: Device or resource busy/,
    });
    await vmm.stop(bed.config, running.process, soon());
  });

  test('is paused and resumed, twice is once', async () => {
    await using bed = makeBed();
    const vmm = await bed.vmm();
    const running = await vmm.start(bed.config, soon());
    await running.pause(soon());
    await running.pause(soon());
    expect(running.guest).toBe('paused');
    await running.resume(soon());
    await running.resume(soon());
    expect(running.guest).toBe('running');
    await vmm.stop(bed.config, running.process, soon());
  });
});

describe('an end and its reason', () => {
  const endOf = async (words: string, misbehaviour?: Misbehaviour) => {
    const bed = makeBed(words);
    try {
      const binary = misbehaviour ? makeStandIn(mkdtempSync(join(programs, 'other-')), misbehaviour) : standIn;
      const vmm = await bed.vmm({ binary });
      const running = await vmm.start(bed.config, soon());
      const end = await running.ended;
      await expect.poll(() => runs(bed.config)).toEqual([]);
      await vmm.stop(bed.config, running.process, soon());
      return end;
    } finally {
      await bed[Symbol.asyncDispose]();
    }
  };

  test.each([
    ['poweroff', 'GuestShutdown', /powered itself off/],
    ['panic', 'GuestPanic', /panicked: sysrq triggered crash/],
    ['die', 'VmmKilled', /SIGSEGV/],
    ['loop', 'GuestReset', /\d+ times within a minute/],
  ])('%s', async (words, reason, message) => {
    const end = await endOf(words);
    expect(end.reason).toBe(reason);
    expect(end.message).toMatch(message);
  });

  test('poweroff, of a version that ends with its guest', async () => {
    expect(await endOf('poweroff', { version: 'v45.0' })).toMatchObject({ reason: 'GuestShutdown' });
  });

  test('by a signal from the host', async () => {
    await using bed = makeBed();
    const running = await (await bed.vmm()).start(bed.config, soon());
    process.kill(running.process.pid, 'SIGTERM');
    expect(await running.ended).toMatchObject({ reason: 'VmmKilled', message: /told to end/ });
  });

  test('its power button ends it; one that is deaf goes on', async () => {
    await using bed = makeBed();
    await using other = makeBed('deaf');
    const vmm = await bed.vmm();
    const [hears, deaf] = [await vmm.start(bed.config, soon()), await vmm.start(other.config, soon())];
    expect(await deaf.pressPower(soon())).toBe(true);
    await hears.pause(soon());
    expect(await hears.pressPower(soon())).toBe(true);
    expect(await hears.ended).toMatchObject({ reason: 'GuestShutdown' });
    expect(await runs(other.config)).toHaveLength(1);
    await vmm.stop(other.config, deaf.process, soon());
  });
});

describe('a reboot', () => {
  test('by the guest goes on in the same process, and is seen', async () => {
    await using bed = makeBed();
    const vmm = await bed.vmm();
    const running = await vmm.start(bed.config, soon());
    const booted = new Promise<void>((resolve) => running.onBoot(resolve));
    await bed.until(/stand-in: up .* boot=1/);
    const channel = await vmm.openChannel(bed.config, 'console', soon());
    await channel.write(Buffer.from('reboot\r'));
    await bed.until(/stand-in: up .* boot=2/);
    channel.close();
    await booted;
    expect(running.bootedAt).toBeGreaterThan(0);
    expect(running.guest).toBe('running');
    await vmm.stop(bed.config, running.process, soon());
  });

  test.each([
    ['by its power button', '', undefined],
    ['by a reset, where it is deaf', 'deaf', undefined],
    ['by a reset, of a version that ends with its guest', '', 'v39.0'],
  ])('from outside, %s', async (_, words, version) => {
    await using bed = makeBed(words);
    const binary = version === undefined ? standIn : makeStandIn(mkdtempSync(join(programs, 'other-')), { version });
    const vmm = await bed.vmm({ binary });
    const running = await vmm.start(bed.config, soon());
    await bed.until(/boot=1/);
    await running.reboot(words === 'deaf' ? 100 : 30_000, soon());
    await bed.until(/boot=2/);
    expect(running.guest).toBe('running');
    expect((await runs(bed.config)).map(({ pid }) => pid)).toEqual([running.process.pid]);
    await vmm.stop(bed.config, running.process, soon());
  });
});

describe('another daemon', () => {
  test('takes it over as it is, and sees its end', async () => {
    await using bed = makeBed();
    const first = await (await bed.vmm()).start(bed.config, soon());
    await bed.until(/stand-in: up/);
    first.release();
    const vmm = await bed.vmm();
    const running = await vmm.adopt(bed.config, first.process, soon());
    if (!('guest' in running)) throw new Error(`it has ended: ${running.message}`);
    expect(running.guest).toBe('running');
    const channel = await vmm.openChannel(bed.config, 'console', soon());
    await channel.write(Buffer.from('poweroff\r'));
    expect(await running.ended).toMatchObject({ reason: 'GuestShutdown' });
    channel.close();
    await expect.poll(() => runs(bed.config)).toEqual([]);
  });

  test('hears of a power-off, a panic and a kill that it did not see', async () => {
    for (const [words, reason] of [
      ['poweroff', 'GuestShutdown'],
      ['panic', 'GuestPanic'],
      ['die', 'VmmVanished'],
    ] as const) {
      // One that reboots for its panic has done so before anybody comes.
      await using bed = makeBed('', { cmdline: 'panic=0' });
      const first = await (await bed.vmm()).start(bed.config, soon());
      await bed.until(/stand-in: up/);
      const typing = await (await bed.vmm()).openChannel(bed.config, 'console', soon());
      first.release();
      await typing.write(Buffer.from(`${words}\r`));
      await bed.until(new RegExp(`${words}\\r`));
      if (words === 'die') await expect.poll(() => runs(bed.config)).toEqual([]);
      typing.close();
      const found = await (await bed.vmm()).adopt(bed.config, first.process, soon());
      expect('guest' in found ? (await found.ended).reason : found.reason).toBe(reason);
    }
  });

  test('lets one begin that stands before its first instruction, and takes nothing on trust that was made', async () => {
    await using bed = makeBed();
    const vmm = await bed.vmm();
    const cutOff = new AbortController();
    const started = vmm.start(bed.config, soon(), async () => {
      cutOff.abort();
      await new Promise(() => undefined);
    });
    started.catch(() => undefined);
    await new Promise((resolve) => cutOff.signal.addEventListener('abort', resolve));
    const running = await (await bed.vmm()).start(bed.config, soon());
    await bed.until(/stand-in: up/);
    expect(running.guest).toBe('running');
    await vmm.stop(bed.config, running.process, soon());
  });

  test('finds every byte that the guest wrote while the first one was killed', async () => {
    await using bed = makeBed();
    const told = JSON.stringify({ ...bed.config, binary: standIn, line: 'megabyte' });
    const first = spawn(process.execPath, [DAEMON, told], { stdio: ['ignore', 'pipe', 'inherit'] });
    const said = once(first.stdout, 'data');
    try {
      await bed.until(/\.999\r\n/);
    } finally {
      first.kill('SIGKILL');
    }
    await once(first, 'exit');
    expect(bed.console().length).toBeLessThan(1 << 20);
    const vmm = await bed.vmm();
    const started: ProcessIdentity = JSON.parse(String((await said)[0]));
    const running = await vmm.adopt(bed.config, started, soon());
    expect(running).toMatchObject({ guest: 'running' });
    await bed.until(/\.16383\r\n/);
    const lines = bed.console().match(/^\.+\d+\r\n/gm);
    expect(lines?.map((line) => Number(/\d+/.exec(line)?.[0]))).toEqual(Array.from({ length: 16_384 }, (_, i) => i));
    expect(lines?.join('')).toHaveLength(1 << 20);
    // Nobody holds anything for it.
    expect(await createProcesses().find((argv) => argv.includes(identifyingArgument(bed.config)))).toHaveLength(1);
    await vmm.stop(bed.config, started, soon());
  });
});

describe('what goes wrong', () => {
  const refused = async (
    words: string,
    changes: Partial<VmmConfig> = {},
    options: Partial<CloudHypervisorOptions> = {},
    limit = soon(),
  ) => {
    const bed = makeBed(words, changes);
    try {
      const vmm = await bed.vmm(options);
      const error: unknown = await vmm.start(bed.config, limit).then(
        () => 'it started',
        (reason: unknown) => reason,
      );
      expect(await runs(bed.config)).toEqual([]);
      expect(await files.stat(apiSocket(bed.config))).toBeUndefined();
      return error;
    } finally {
      await bed[Symbol.asyncDispose]();
    }
  };

  test('its words are told, outermost first', async () => {
    expect(await refused('refuse')).toMatchObject({
      ...{ kind: 'refused', reason: 'ProviderRefused' },
      message: 'Cloud Hypervisor refused vm.boot: Error from API: The VM could not boot: it was told to refuse',
    });
  });

  test('a machine that was made by a create that failed is not booted', async () => {
    await using bed = makeBed('half-made');
    await expect((await bed.vmm()).start(bed.config, soon())).rejects.toThrow(/vm\.create: .*: it was told to/);
    expect(bed.console()).toBe('');
  });

  test('it ends, hangs, or is slow', async () => {
    expect(await refused('exit')).toMatchObject({ kind: expect.stringMatching(/refused|tool/) });
    expect(await refused('hang', {}, {}, AbortSignal.timeout(10_000))).toMatchObject({ name: 'TimeoutError' });
    await using bed = makeBed('slow');
    const vmm = await bed.vmm();
    const running = await vmm.start(bed.config, soon());
    expect(running.guest).toBe('running');
    await vmm.stop(bed.config, running.process, soon());
  });

  test('it closes the door while it is told something: it is unreachable, and found again', async () => {
    await using bed = makeBed('deaf-door');
    const vmm = await bed.vmm();
    const running = await vmm.start(bed.config, soon());
    await expect(running.pause(soon())).rejects.toMatchObject({ kind: 'tool', reason: 'VmmUnreachable' });
    await expect.poll(() => running.resume(soon()).then(() => 'ok', String), { timeout: 30_000 }).toBe('ok');
    await vmm.stop(bed.config, running.process, soon());
  });

  test('a kernel, a disk or an initrd that is not there is named', async () => {
    expect(await refused('', { kernel: '/nonesuch' })).toMatchObject({
      message: /cannot open \/nonesuch: No such file/,
    });
    expect(await refused('', { kernel: '/etc/hostname' })).toMatchObject({ message: /Invalid ELF magic/ });
    expect(await refused('', { initrd: '/nonesuch' })).toMatchObject({ message: /cannot open \/nonesuch/ });
  });

  test('an overlay that is none, or whose base is not there, is named', async () => {
    const at = mkdtempSync(join(tmpdir(), 'fl-ch-odd-'));
    onTestFinished(() => rmSync(at, { recursive: true, force: true }));
    const path = join(at, 'disk0.qcow2');
    const overlay = (backing: string) => ({
      disks: [{ id: 'root', path, format: 'qcow2' as const, backing, readOnly: false, isRoot: true }],
    });
    writeFileSync(path, 'QFI\xfb', 'latin1');
    expect(await refused('', overlay('/etc/hostname'))).toMatchObject({
      message: /disk0\.qcow2 is no overlay of qcow2 .*: it does not begin as one/,
    });
    rmSync(path);
    await layOverlay(path, '/nonesuch/but/long/enough', 1 << 20);
    expect(await refused('', overlay('/nonesuch/but/long/enough'))).toMatchObject({
      message: /cannot open \/nonesuch\/but\/long\/enough: No such file/,
    });
    const old = makeStandIn(mkdtempSync(join(programs, 'other-')), { version: 'v52.0' });
    expect(await refused('', overlay('/etc/hostname'), { binary: old })).toMatchObject({
      ...{ kind: 'refused', reason: 'ProviderUnavailable' },
      message: /since version 53; this one is 52\.0/,
    });
  });

  test('a socket that is left of an earlier run is no obstacle, nor is a path too long for one', async () => {
    await using bed = makeBed();
    writeFileSync(apiSocket(bed.config), '');
    const vmm = await bed.vmm();
    await vmm.stop(bed.config, (await vmm.start(bed.config, soon())).process, soon());
    const long = join(bed.config.runDirectory, 'x'.repeat(120));
    await expect(vmm.start({ ...bed.config, runDirectory: long }, soon())).rejects.toThrow(/over 107 bytes/);
  });

  test('one that ignores SIGTERM is ended all the same', async () => {
    const binary = makeStandIn(mkdtempSync(join(programs, 'other-')), { how: 'ignores-term' });
    expect(await refused('hang', {}, { binary }, AbortSignal.timeout(10_000))).toMatchObject({ name: 'TimeoutError' });
  });
});

describe('the program', () => {
  const whyNot = async (options: Partial<CloudHypervisorOptions>): Promise<string> => {
    await using bed = makeBed();
    const info = await (await bed.vmm(options)).info();
    expect(info.available).toBe(false);
    return info.unavailableReason;
  };
  const script = (text: string, mode = 0o755): string => {
    const path = join(mkdtempSync(join(programs, 'script-')), 'ch');
    writeFileSync(path, text, { mode });
    return path;
  };

  test('is told by its version', async () => {
    await using bed = makeBed();
    const info = await (await bed.vmm()).info();
    expect(info).toMatchObject({ available: true, version: '53.0-246-g5eed1e5', accelerator: 'kvm' });
  });

  test('that cannot be told what a disk is can be used, and is warned of', async () => {
    await using bed = makeBed();
    const warned: string[] = [];
    const warn = (message: string): void => void warned.push(message);
    const vmm = await bed.vmm({ binary: script('#!/bin/sh\necho cloud-hypervisor v50.2\n'), log: { ...log, warn } });
    expect(await vmm.info()).toMatchObject({ available: true, version: '50.2' });
    expect(warned).toEqual([expect.stringMatching(/^In version 50\.2 .* take 51 or later/)]);
  });

  test('takes overlays since version 53, and confines itself since 48, where the kernel can', async () => {
    const of = async (version: string, options: Partial<CloudHypervisorOptions>) => {
      await using bed = makeBed();
      const binary = script(`#!/bin/sh\necho cloud-hypervisor ${version}\n`);
      const vmm = await bed.vmm({ binary, landlock: 'on', ...options });
      const { available, unavailableReason, capabilities, features } = await vmm.info();
      return { available, unavailableReason, capabilities, formats: features.diskFormats, now: vmm.capabilities };
    };
    const answers =
      (said: string): CloudHypervisorOptions['run'] =>
      (argv, limits) =>
        argv.includes(LANDLOCK_TRIAL) ? Promise.resolve(said) : run(argv, limits);
    const today = await of('v53.0', { run: answers('ok\n') });
    expect(today).toMatchObject({ available: true, formats: ['qcow2', 'raw'], now: { diskFormats: ['qcow2', 'raw'] } });
    expect(today.capabilities).toEqual(expect.arrayContaining(['landlock', 'qcow2']));
    expect(await of('v52.0', { run: answers('ok\n') })).toMatchObject({ available: true, formats: ['raw'] });
    for (const [version, said, why] of [
      ['v47.0', 'ok', /landlock on\), and that needs its version 48/],
      ['v53.0', 'old 2', /kernel has version 2 of Landlock.*Linux 6\.2/],
      ['v53.0', 'absent Function not implemented', /no Landlock \(Function not implemented\)/],
      ['v53.0', 'useless Operation not permitted', /Landlock does nothing here: Operation not permitted/],
      ['v53.0', 'hm', /Cannot try Landlock: perl says "hm"/],
    ] as const) {
      const found = await of(version, { run: answers(`${said}\n`) });
      expect(found).toMatchObject({ available: false, unavailableReason: expect.stringMatching(why) });
      const without = await of(version, { run: answers(`${said}\n`), landlock: 'off' });
      expect(without.available).toBe(true);
      expect(without.capabilities).not.toContain('landlock');
    }
  });

  test('that is none, too old, no program, or says nothing is refused with what to do', async () => {
    const options = [
      [{ binary: '/nonesuch' }, /Cannot run \/nonesuch: it is not installed/],
      [{ binary: 'cloud-hypervisor-nonesuch' }, /not installed or not in PATH/],
      [{ binary: programs }, /it is a directory/],
      [{ binary: script('#!/bin/sh\necho hello\n') }, /it is no Cloud Hypervisor, of its version it says "hello"/],
      [{ binary: script('#!/bin/sh\n') }, /it says ""/],
      [{ binary: script('#!/bin/sh\n', 0o644) }, /Permission denied/],
      [{ binary: script('#!/nonesuch/sh\n') }, /its interpreter or dynamic loader is not here/],
      [{ binary: script('#!/bin/sh\necho cloud-hypervisor v38.0\n') }, /it is version 38\.0, and 39 is the oldest/],
    ] as const;
    for (const [one, why] of options) {
      const said = await whyNot(one);
      expect(said).toMatch(why);
      expect(said).toContain('--cloudhypervisor-bin');
    }
  });
});

describe('the way to the agent of a guest', () => {
  const ask = async (vmm: Vmm, config: VmmConfig): Promise<string> => {
    const dial = vmm.agentDial?.(config);
    if (!dial) throw new Error('it has none');
    return (await infoBy(dial, soon())).version;
  };
  const patiently = { timeout: 60_000, interval: 50 };

  test('is its vsock, over a reboot in place too, and nothing is left of it', async () => {
    await using bed = makeBed();
    const vmm = await bed.vmm();
    const running = await vmm.start(bed.config, soon());
    await expect.poll(() => ask(vmm, bed.config), patiently).toBe('1');
    const socket = statSync(agentSocket(bed.config));
    expect([socket.isSocket(), socket.uid]).toEqual([true, 77_002]);
    // It cannot put another in the place of its control socket.
    expect(statSync(bed.config.runDirectory).uid).toBe(0);
    await running.reboot(0, soon());
    await bed.until(/up .* boot=2/);
    await expect.poll(() => ask(vmm, bed.config), patiently).toBe('1');

    // In its own directory it can; that leads nowhere.
    const { ino } = statSync(agentSocket(bed.config));
    renameSync(agentSocket(bed.config), `${agentSocket(bed.config)}.away`);
    symlinkSync(`${agentSocket(bed.config)}.away`, agentSocket(bed.config));
    expect(statSync(agentSocket(bed.config)).ino).toBe(ino);
    await expect(ask(vmm, bed.config)).rejects.toMatchObject({ kind: 'refused' });

    await vmm.stop(bed.config, running.process, soon());
    expect(readdirSync(bed.config.runDirectory)).toEqual([]);
  });

  test('is none where it is off', async () => {
    await using bed = makeBed('', { options: { agent: 'off' } });
    const vmm = await bed.vmm();
    const running = await vmm.start(bed.config, soon());
    await expect(ask(vmm, bed.config)).rejects.toMatchObject({ kind: 'refused' });
    await vmm.stop(bed.config, running.process, soon());
  });
});

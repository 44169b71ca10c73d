import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { createNetns } from '../../../test/support/netns.ts';
import { makeTinyGuest, type TinyGuest } from '../../../test/support/tiny-guest.ts';
import type { Fault } from '../../domain/fault.ts';
import type { KernelFacts } from '../../domain/kernel-facts.ts';
import type { Spec } from '../../domain/spec.ts';
import { clock } from '../../host/clock.ts';
import { converse } from '../../host/converse.ts';
import { files } from '../../host/files.ts';
import { createProcesses } from '../../host/processes.ts';
import { run } from '../../host/run.ts';
import type { Run } from '../../ports/host.ts';
import type { Log } from '../../ports/log.ts';
import type { RunningVmm, Vmm, VmmConfig } from '../../ports/vmm.ts';
import { Starts } from '../supervisor/starts.ts';
import { isOf } from './layout.ts';
import { createQemu, type QemuOptions } from './qemu.ts';
import { trialKernel } from './trial-kernel.ts';

const silent = (): void => undefined;
const log: Log = { debug: silent, info: silent, warn: silent, error: silent };

let guest: TinyGuest;
let made = 0;

beforeAll(async () => {
  guest = await makeTinyGuest();
});
afterAll(() => guest[Symbol.dispose]());

/** One microVM's directories and config; everything of it is gone at the end of the test. */
interface Bed extends AsyncDisposable {
  readonly config: VmmConfig;
  readonly directory: string;
  qemu(options?: Partial<QemuOptions>): Promise<Vmm>;
  console(): string;
  until(line: RegExp): Promise<void>;
}

function makeBed(words: string, changes: Partial<VmmConfig> = {}): Bed {
  const directory = mkdtempSync(join(tmpdir(), 'fl-qemu-'));
  const config: VmmConfig = {
    uid: `01TEST${process.pid.toString(36).toUpperCase()}${(++made).toString(36).toUpperCase()}`.padEnd(26, '0'),
    runDirectory: join(directory, 'run'),
    stateDirectory: join(directory, 'state'),
    user: 77_001,
    vcpu: 1,
    memoryInMb: 96,
    kernel: guest.kernel,
    initrd: guest.initrd,
    cmdline: `${guest.cmdline} quiet ${words}`,
    disks: [],
    nics: [],
    ...changes,
  };
  mkdirSync(config.runDirectory, { mode: 0o700 });
  mkdirSync(config.stateDirectory, { mode: 0o700 });
  const console = (): string => {
    try {
      return readFileSync(join(config.stateDirectory, 'console.log'), 'utf8');
    } catch {
      return '';
    }
  };
  return {
    config,
    directory,
    qemu: (options = {}) =>
      createQemu({
        binary: 'qemu-system-x86_64',
        path: process.env.PATH ?? '',
        whose: 'test',
        accel: 'auto',
        acpi: true,
        run,
        converse,
        files,
        processes: createProcesses(),
        clock,
        log,
        starts: new Starts(clock),
        ...options,
      }),
    console,
    until: (line) => expect.poll(console, { timeout: 200_000, interval: 20 }).toMatch(line) as unknown as Promise<void>,
    async [Symbol.asyncDispose]() {
      for (const { pid } of await createProcesses().find(isOf(config))) process.kill(pid, 'SIGKILL');
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

// A guest takes 4 s here, and 40 where the machine has twenty things to do at once.
vi.setConfig({ testTimeout: 300_000 });
const soon = (): AbortSignal => AbortSignal.timeout(120_000);
const runs = (config: VmmConfig) => createProcesses().find(isOf(config));
const statusOf = (running: RunningVmm): string => readFileSync(`/proc/${running.process.pid}/status`, 'utf8');

describe('a guest', () => {
  test('boots in 96 MB, confined to its own user, without new privileges and in the sandbox', async () => {
    await using bed = makeBed('');
    const qemu = await bed.qemu();
    const running = await qemu.start(bed.config, soon());
    expect(running.guest).toBe('running');
    await bed.until(/tiny-guest: up cpus=1 kb=\d+/);
    const status = statusOf(running);
    expect(status).toMatch(/^Uid:\t77001\t77001\t77001\t77001$/m);
    expect(status).toMatch(/^Gid:\t77001\t77001\t77001\t77001$/m);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    expect(status).toMatch(/^Seccomp:\t2$/m);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
      expect(status).toMatch(new RegExp(`^${set}:\\t0+$`, 'm'));
    // CAP_DAC_OVERRIDE, CAP_SETGID, CAP_SETUID and CAP_NET_ADMIN, of use to root alone.
    expect(status).toMatch(/^CapBnd:\t00000000000010c2$/m);
    expect(status).toMatch(/^Groups:\s*(77001)?\s*$/m);
    expect(running.accelerator).toBe((await qemu.info()).accelerator);
    await qemu.stop(bed.config, running.process, soon());
  });

  test('boots from the compressed kernel with as many CPUs as asked for', async () => {
    await using bed = makeBed('', { vcpu: 2, kernel: guest.vmlinuz });
    const qemu = await bed.qemu();
    await qemu.start(bed.config, soon());
    await bed.until(/tiny-guest: up cpus=2/);
    await qemu.stop(bed.config, undefined, soon());
  });

  test('sees its disks in order, with serials, read-only where they are', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'fl-disks-'));
    try {
      const gold = join(directory, 'gold');
      const overlay = join(directory, 'overlay');
      const plain = join(directory, 'plain,1');
      const other = join(directory, 'other');
      writeFileSync(other, Buffer.alloc(1 << 20));
      writeFileSync(gold, Buffer.alloc(1 << 20, 7));
      writeFileSync(plain, Buffer.alloc(2 << 20));
      const create = ['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', gold, overlay] as const;
      await run([...create], { signal: soon(), timeoutMs: 60_000 });
      await using bed = makeBed('do=poweroff rootfstype=ext4', {
        disks: [
          { id: 'root', path: overlay, format: 'qcow2', backing: gold, readOnly: false, isRoot: true },
          { id: 'a-data-disk-with-a-long-name', path: plain, format: 'raw', readOnly: true, isRoot: false },
          { id: 'a-data-disk-with-a-longer-one', path: other, format: 'raw', readOnly: true, isRoot: false },
        ],
      });
      const qemu = await bed.qemu();
      const running = await qemu.start(bed.config, soon());
      await expect.poll(async () => (await running.signs()).diskOperations, { timeout: 200_000 }).toBeGreaterThan(0);
      expect((await running.signs()).consoleBytes).toBeGreaterThan(0);
      expect((await running.ended).reason).toBe('GuestShutdown');
      expect(bed.console()).toMatch(/disk vda serial=root ro=0 sectors=2048 wrote=yes/);
      // The first twenty bytes of both ids are the same.
      const [, second = '', third = ''] = [...bed.console().matchAll(/disk vd. serial=(\S+)/g)].map(
        ([, serial]) => serial,
      );
      expect(bed.console()).toMatch(/disk vdb serial=a-data-disk-w-[0-9a-z]{6} ro=1 sectors=4096 wrote=no/);
      expect(second.length).toBe(20);
      expect(third).not.toBe(second);
      expect(readFileSync(gold).every((byte) => byte === 7)).toBe(true);
      expect(readFileSync(plain).every((byte) => byte === 0)).toBe(true);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  test('has its interface with its MAC and MTU, opened before QEMU lets go of its rights', async () => {
    await using netns = await createNetns();
    const limits = { signal: soon(), timeoutMs: 10_000 };
    await netns.run(['ip', 'tuntap', 'add', 'dev', 'fltest0', 'mode', 'tap'], limits);
    await using bed = makeBed('do=poweroff', { nics: [{ device: 'fltest0', mac: '02:00:00:00:00:2a', mtu: 1_400 }] });
    const qemu = await bed.qemu({ processes: netns.processes, run: netns.run });
    const running = await qemu.start(bed.config, soon());
    expect((await running.ended).reason).toBe('GuestShutdown');
    expect(bed.console()).toContain('nic eth0 mac=02:00:00:00:00:2a mtu=1400');
  });
});

test('the console is a channel: what is typed comes back, and it has one owner at a time', async () => {
  await using bed = makeBed('');
  const qemu = await bed.qemu();
  await qemu.start(bed.config, soon());
  await bed.until(/tiny-guest: up/);
  const open = () => qemu.openChannel(bed.config, 'console', soon());
  const console = await open();
  await expect(open()).rejects.toMatchObject({ kind: 'conflict' });
  let seen = '';
  const reading = (async () => {
    for await (const bytes of console.read(soon())) seen += Buffer.from(bytes).toString();
  })();
  await console.write(Buffer.from('is anybody there\r'));
  await expect.poll(() => seen, { timeout: 100_000 }).toContain('is anybody there'); // its terminal echoes
  expect(seen).not.toContain('tiny-guest: up'); // said before
  console.close();
  await reading;
  (await open()).close();
  await qemu.stop(bed.config, undefined, soon());
});

test('a guest is held while its disk is full on the host, and goes on when there is room', async () => {
  await using bed = makeBed('do=fill');
  const small = join(bed.directory, 'small');
  const disk = join(small, 'disk');
  mkdirSync(small);
  // A file system of 1 MiB in a mount namespace that ends with QEMU.
  const confine =
    'mount -t tmpfs -o size=1m small "$1" && truncate -s 8M "$2" && shift 2 && exec "$@"'; /* $1 directory, $2 disk */
  const host = createProcesses();
  const processes = {
    ...host,
    start: (argv: readonly [string, ...string[]], options: { readonly log: string }) =>
      host.start(['unshare', '--mount', '--', 'sh', '-c', confine, 'sh', small, disk, ...argv], options),
  };
  const qemu = await bed.qemu({ processes });
  const config = {
    ...bed.config,
    disks: [{ id: 'small', path: disk, format: 'raw', readOnly: false, isRoot: false } as const],
  };
  const running = await qemu.start(config, soon());
  await expect.poll(() => running.guest, { timeout: 200_000 }).toBe('held');
  const pid = String(running.process.pid);
  const grow = ['nsenter', '--target', pid, '--mount', '--', 'mount', '-o', 'remount,size=16m', small] as const;
  await run([...grow], { signal: soon(), timeoutMs: 10_000 });
  await bed.until(/tiny-guest: filled/);
  await expect.poll(() => running.guest, { timeout: 10_000 }).toBe('running');
  await qemu.stop(config, running.process, soon());
});

describe('the end of a run', () => {
  test('power-off is the guest’s own', async () => {
    await using bed = makeBed('do=poweroff');
    const running = await (await bed.qemu()).start(bed.config, soon());
    expect(await running.ended).toEqual({ reason: 'GuestShutdown', message: 'The guest powered itself off' });
    expect(await runs(bed.config)).toEqual([]);
  });

  test('a panic is told over the panic device', async () => {
    await using bed = makeBed('do=panic');
    const running = await (await bed.qemu()).start(bed.config, soon());
    const end = await running.ended;
    expect(end).toEqual({ reason: 'GuestPanic', message: "The guest's kernel panicked: sysrq triggered crash" });
  });

  test('a panic of a guest without the panic device ends the run too', async () => {
    await using bed = makeBed('do=panic no-panic-device');
    const running = await (await bed.qemu()).start(bed.config, soon());
    expect(await running.ended).toEqual({
      reason: 'GuestPanic',
      message: "The guest's kernel panicked: sysrq triggered crash",
    });
    expect(await runs(bed.config)).toEqual([]);
  });

  test('a reboot is none', async () => {
    await using bed = makeBed('do=reboot');
    const qemu = await bed.qemu();
    const running = await qemu.start(bed.config, soon());
    const states: string[] = [];
    running.onGuest((state) => states.push(state));
    await bed.until(/tiny-guest: up.*tiny-guest: up/s);
    expect(running.guest).toBe('running');
    expect(states).toEqual([]);
    await qemu.stop(bed.config, running.process, soon());
    expect((await running.ended).reason).toBe('VmmKilled');
  });

  test('SIGKILL is told with its name, within a second', async () => {
    await using bed = makeBed('');
    const running = await (await bed.qemu()).start(bed.config, soon());
    process.kill(running.process.pid, 'SIGKILL');
    const at = performance.now();
    const end = await running.ended;
    expect(performance.now() - at).toBeLessThan(1_000);
    expect(end.reason).toBe('VmmKilled');
    expect(end.message).toContain('SIGKILL');
  });

  test('SIGTERM is told', async () => {
    await using bed = makeBed('');
    const running = await (await bed.qemu()).start(bed.config, soon());
    process.kill(running.process.pid, 'SIGTERM');
    expect(await running.ended).toMatchObject({ reason: 'VmmKilled', message: expect.stringContaining('SIGTERM') });
  });
});

describe('a kernel that sees nothing of its machine', () => {
  test('shows no sign of life while its CPU runs', async () => {
    await using bed = makeBed('');
    const silent = join(bed.directory, 'silent');
    const kernel = Buffer.from(trialKernel());
    const entry = Number(kernel.readBigUInt64LE(24)) - Number(kernel.readBigUInt64LE(64 + 24));
    kernel.write('fa f4 eb fd'.replaceAll(' ', ''), entry, 'hex'); // cli; hlt; jmp to itself
    const disk = join(bed.directory, 'disk');
    writeFileSync(silent, kernel);
    writeFileSync(disk, Buffer.alloc(4096));
    const { initrd: _, ...config } = bed.config;
    const disks = [{ id: 'd', path: disk, format: 'raw', readOnly: false, isRoot: true } as const];
    const qemu = await bed.qemu();
    const running = await qemu.start({ ...config, kernel: silent, disks }, soon());
    await expect.poll(() => running.guest).toBe('running');
    expect(await running.signs()).toEqual({ consoleBytes: 0, diskOperations: 0 });
    expect(running.advice).toMatch(/acpi=off in kernel\.cmdline/);
    await qemu.stop(bed.config, running.process, soon());
  });

  test('that panics for want of a root is told what to try', async () => {
    await using bed = makeBed('root=/dev/vda');
    const { initrd: _, ...config } = bed.config;
    const running = await (await bed.qemu()).start(config, soon());
    const end = await running.ended;
    expect(end.reason).toBe('GuestPanic');
    expect(end.message).toMatch(/Unable to mount root fs.*sees no such disk.*initrd of its version.*acpi=off/s);
  });
});

describe('a second daemon', () => {
  test('adopts what the first let go, and sees it vanish within a second', async () => {
    await using bed = makeBed('');
    const first = await (await bed.qemu()).start(bed.config, soon());
    first.release();
    const qemu = await bed.qemu();
    const adopted = await qemu.adopt(bed.config, first.process, soon());
    if ('reason' in adopted) throw new Error(adopted.message);
    expect(adopted.guest).toBe('running');
    expect(adopted.process).toEqual(first.process);
    await bed.until(/tiny-guest: up/); // it did not notice
    process.kill(first.process.pid, 'SIGKILL');
    const at = performance.now();
    expect((await adopted.ended).reason).toBe('VmmVanished');
    expect(performance.now() - at).toBeLessThan(1_000);
    expect(await qemu.adopt(bed.config, first.process, soon())).toMatchObject({ reason: 'VmmVanished' });
  });

  test('sees the power-off of a guest that it adopted', async () => {
    await using bed = makeBed('do=poweroff');
    const first = await (await bed.qemu()).start(bed.config, soon());
    first.release();
    const adopted = await (await bed.qemu()).adopt(bed.config, first.process, soon());
    if ('reason' in adopted) throw new Error(adopted.message);
    expect((await adopted.ended).reason).toBe('GuestShutdown');
  });

  test('does not take a stranger for it', async () => {
    await using bed = makeBed('');
    const processes = createProcesses();
    const [self] = await processes.find((argv) => argv.length > 0);
    if (!self) throw new Error('no process at all');
    const qemu = await bed.qemu();
    expect(await qemu.adopt(bed.config, self, soon())).toMatchObject({ reason: 'VmmVanished' });
    await expect(qemu.stop(bed.config, self, soon())).rejects.toMatchObject({ kind: 'refused' });
  });

  test('starts no second process: the one that runs is taken over', async () => {
    await using bed = makeBed('');
    const qemu = await bed.qemu();
    const [first, again] = await Promise.all([qemu.start(bed.config, soon()), qemu.start(bed.config, soon())]);
    expect(again.process).toEqual(first.process);
    first.release();
    const other = await bed.qemu();
    const taken = await other.start(bed.config, soon());
    expect(taken.process).toEqual(first.process);
    expect(taken.guest).toBe('running');
    expect(await runs(bed.config)).toHaveLength(1);
    await other.stop(bed.config, undefined, soon());
    await other.stop(bed.config, taken.process, soon());
    expect(await runs(bed.config)).toEqual([]);
    expect(readdirSync(bed.config.runDirectory)).toEqual([]);
  });
});

test('a QEMU that dies while it is taken over is told, and the next start is a new one', async () => {
  await using bed = makeBed('');
  const first = await (await bed.qemu()).start(bed.config, soon());
  // Stopped, it has its socket and never answers.
  first.release();
  process.kill(first.process.pid, 'SIGSTOP');
  const found = (): void => void process.kill(first.process.pid, 'SIGKILL');
  const qemu = await bed.qemu({ log: { ...log, info: found } });
  await expect(qemu.start(bed.config, soon())).rejects.toMatchObject({ kind: 'tool', terminal: false });
  const next = await qemu.start(bed.config, soon());
  expect(next.process).not.toEqual(first.process);
  await qemu.stop(bed.config, next.process, soon());
});

test('an adopted QEMU that does not answer is unreachable until it does', async () => {
  await using bed = makeBed('');
  const first = await (await bed.qemu()).start(bed.config, soon());
  first.release();
  process.kill(first.process.pid, 'SIGSTOP');
  const qemu = await bed.qemu();
  const adopted = await qemu.adopt(bed.config, first.process, soon());
  if ('reason' in adopted) throw new Error(adopted.message);
  expect(adopted.guest).toBe('unreachable');
  process.kill(first.process.pid, 'SIGCONT');
  await expect.poll(() => adopted.guest, { timeout: 30_000 }).toBe('running');
  await qemu.stop(bed.config, adopted.process, soon());
  expect((await adopted.ended).reason).toBe('VmmVanished');
});

describe('a start that fails', () => {
  let bed: Bed;
  beforeEach(() => {
    bed = makeBed('');
    return () => bed[Symbol.asyncDispose]();
  });
  const nothingLeft = async (): Promise<void> => {
    expect(await runs(bed.config)).toEqual([]);
    expect(readdirSync(bed.config.runDirectory)).toEqual([]);
  };

  test('a disk that is not there is told in QEMU’s words', async () => {
    const disk = { id: 'd', path: '/nowhere/disk', format: 'raw', readOnly: false, isRoot: false } as const;
    const started = (await bed.qemu()).start({ ...bed.config, disks: [disk] }, soon());
    await expect(started).rejects.toMatchObject({
      kind: 'refused',
      reason: 'ProviderRefused',
      terminal: true,
      message: expect.stringMatching(/exit status 1.*\/nowhere\/disk.*No such file/s),
    });
    await nothingLeft();
  });

  test('a QEMU that hangs is ended in time', async () => {
    const started = (await bed.qemu({ binary: script('while :; do sleep 0.1; done') })).start(
      bed.config,
      AbortSignal.timeout(4_000),
    );
    await expect(started).rejects.toMatchObject({ kind: 'timeout', reason: 'Timeout' });
    await nothingLeft();
  });

  test('an abort ends it, for the reason given', async () => {
    const gone = new AbortController();
    const reason = new Error('a delete came');
    const started = (await bed.qemu({ binary: script('while :; do sleep 0.1; done') })).start(bed.config, gone.signal);
    const rejected = expect(started).rejects.toBe(reason);
    await expect.poll(() => runs(bed.config), { timeout: 10_000 }).toHaveLength(1);
    gone.abort(reason);
    await rejected;
    await nothingLeft();
  });

  test('an exit without a word is told with its status', async () => {
    const fault = await (await bed.qemu({ binary: script('exit 3') })).start(bed.config, soon()).catch((e: Fault) => e);
    expect(fault).toMatchObject({ reason: 'ProviderRefused', message: expect.stringContaining('exit status 3') });
    await nothingLeft();
  });

  test('a QEMU that is not there is unavailable, with the remedy, until it is', async () => {
    const binary = join(bed.directory, 'qemu');
    const qemu = await bed.qemu({ binary });
    expect(await qemu.info()).toMatchObject({
      available: false,
      unavailableReason: expect.stringContaining('apt-get install qemu-system-x86'),
    });
    await expect(qemu.start(bed.config, soon())).rejects.toMatchObject({ reason: 'ProviderUnavailable' });
    await nothingLeft();
    script('exit 3', binary);
    expect(await qemu.info()).toMatchObject({ available: true, version: expect.stringMatching(/^\d+\./) });
  });

  /** A program that is QEMU while it is tried, and does something else with a microVM. */
  function script(body: string, path: string = join(bed.directory, 'qemu')): string {
    const tried = 'case "$* " in *guest=flintlock-trial*|"--version ") exec qemu-system-x86_64 "$@" ;; esac';
    writeFileSync(path, `#!/bin/sh\n${tried}\n${body}\n`);
    chmodSync(path, 0o755);
    return path;
  }
});

describe('a QEMU that does not do what is needed is found before a guest needs it:', () => {
  let bed: Bed;
  beforeEach(() => {
    bed = makeBed('');
    return () => bed[Symbol.asyncDispose]();
  });
  const makeProgram = (body: string): string => {
    const path = join(bed.directory, 'qemu');
    writeFileSync(path, `#!/bin/bash\n${body}\n`);
    chmodSync(path, 0o755);
    return path;
  };
  const real = 'exec qemu-system-x86_64';

  test.each([
    ['without the machine', `${real} "\${@/microvm,*/microvm-that-is-not-there}"`, /unsupported machine type/],
    ['without its firmware', `${real} "$@" -bios /nowhere/bios-microvm.bin`, /bios-microvm\.bin/],
    ['that aborts', '[ "$1" = --version ] && exec qemu-system-x86_64 "$@"; kill -ABRT $$', /ended by SIGABRT/],
    ['that runs no guest', '[ "$1" = --version ] && exec qemu-system-x86_64 "$@"; exit 0', /never said a word/],
    [
      'without the sandbox',
      'case "$*" in *-sandbox*) echo "-sandbox: not compiled in" >&2; exit 1;; esac',
      /not compiled in/,
    ],
    ['that is no QEMU', 'exit 7', /exit status 7/],
  ])('%s', async (_, body, words) => {
    const qemu = await bed.qemu({ binary: makeProgram(body) });
    expect(await qemu.info()).toMatchObject({
      available: false,
      unavailableReason: expect.stringMatching(words),
    });
    expect((await qemu.info()).unavailableReason).toContain('--qemu-bin');
    const refused = { kind: 'refused', reason: 'ProviderUnavailable', terminal: true };
    await expect(qemu.start(bed.config, soon())).rejects.toMatchObject(refused);
  });

  test.each(['-run-with', '-runas'])('a version without %s starts as its user all the same', async (gone) => {
    const newer = spawnSync('qemu-system-x86_64', ['-run-with', 'user=1:1', '-version']).status === 0;
    // What this host's QEMU does not have either is told it in its own words.
    const translate = (from: string, to: string, value: string): string =>
      `for i in "\${!args[@]}"; do [ "\${args[i]}" = ${from} ] && { args[i]=${to}; args[i+1]="${value}"; break; }; done`;
    const translated =
      gone === '-run-with' && newer
        ? translate('-runas', '-run-with', `user=\${args[i+1]}`)
        : gone === '-runas' && !newer
          ? translate('-run-with', '-runas', `\${args[i+1]#user=}`)
          : ':';
    const refuse = `for word; do [ "$word" = ${gone} ] && { echo "qemu: ${gone}: invalid option" >&2; exit 1; }; done`;
    const binary = makeProgram(`${refuse}\nargs=("$@")\n${translated}\n${real} "\${args[@]}"`);
    const qemu = await bed.qemu({ binary });
    const running = await qemu.start(bed.config, soon());
    expect(statusOf(running)).toMatch(/^Uid:\t77001\t77001\t77001\t77001$/m);
    await qemu.stop(bed.config, running.process, soon());
  });

  test('one without qboot runs guests with its own firmware, and says what that may cost', async () => {
    const refuse = `for word; do [ "$word" = qboot.rom ] && { echo "could not load PC BIOS 'qboot.rom'" >&2; exit 1; }; done`;
    const qemu = await bed.qemu({ binary: makeProgram(`${refuse}\n${real} "$@"`) });
    const running = await qemu.start(bed.config, soon());
    const spec = {
      volumes: [],
      interfaces: [],
      providerOptions: {},
      kernel: { cmdline: '' },
      initrd: { image: 'x' },
    } as unknown as Spec;
    const none = { parts: undefined } as unknown as KernelFacts;
    expect(qemu.remarks(spec, none).warnings).toEqual([expect.stringContaining('no qboot.rom')]);
    await qemu.stop(bed.config, running.process, soon());
  });

  test('one that hangs holds nobody up, and is told as that', async () => {
    const hangs: Run = (argv, limits) => run(argv, { ...limits, timeoutMs: Math.min(limits.timeoutMs, 500) });
    const qemu = await bed.qemu({ binary: makeProgram('while :; do sleep 0.1; done'), run: hangs });
    expect(await qemu.info()).toMatchObject({
      available: false,
      unavailableReason: expect.stringMatching(/hangs, or this host is far too slow.*--qemu-bin/s),
    });
  });

  test('firmware that goes after the trial: the microVM is refused at once, not tried again', async () => {
    const gone = join(bed.directory, 'gone');
    const qemu = await bed.qemu({ binary: makeProgram(`[ -e ${gone} ] && set -- "$@" -bios /nowhere\n${real} "$@"`) });
    expect(await qemu.info()).toMatchObject({ available: true });
    writeFileSync(gone, '');
    await expect(qemu.start(bed.config, soon())).rejects.toMatchObject({
      ...{ reason: 'ProviderUnavailable', terminal: true },
      message: expect.stringContaining('/nowhere'),
    });
    expect(await qemu.info()).toMatchObject({ available: false });
  });
});

test('the accelerator is KVM only where the CPU virtualises', async () => {
  await using bed = makeBed('');
  const info = await (await bed.qemu()).info();
  const virtualises = /\b(vmx|svm)\b/.test(readFileSync('/proc/cpuinfo', 'utf8'));
  expect(info).toMatchObject({ name: 'qemu', available: true, version: expect.stringMatching(/^\d+\.\d+/) });
  if (!virtualises) {
    expect(info.accelerator).toBe('tcg');
    expect(info.acceleratorReason).toContain('neither vmx nor svm');
    const demanded = await (await bed.qemu({ accel: 'kvm' })).info();
    expect(demanded).toMatchObject({ available: false, unavailableReason: expect.stringContaining('--qemu-accel') });
  }
});

import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { makeStandIn } from '../../../test/stand-ins/firecracker/program.ts';
import { type JailerMisbehaviour, makeJailer } from '../../../test/stand-ins/jailer/program.ts';
import { memoryLog } from '../../../test/support/memory-log.ts';
import { createNetns } from '../../../test/support/netns.ts';
import { clock } from '../../host/clock.ts';
import { converse } from '../../host/converse.ts';
import { files } from '../../host/files.ts';
import { createProcesses } from '../../host/processes.ts';
import { run } from '../../host/run.ts';
import type { Vmm, VmmConfig, VmmDisk } from '../../ports/vmm.ts';
import { Starts } from '../supervisor/starts.ts';
import { createFirecracker, type FirecrackerOptions } from './firecracker.ts';
import { isOf } from './layout.ts';

vi.setConfig({ testTimeout: 300_000 });
const soon = (): AbortSignal => AbortSignal.timeout(120_000);
const patiently = { timeout: 100_000, interval: 20 };

let shared: string;
let binary: string;
let jailer: string;
let made = 0;

beforeAll(() => {
  shared = mkdtempSync(join(tmpdir(), 'fl-jail-program-'));
  binary = makeStandIn(shared);
  jailer = makeJailer(shared);
});
afterAll(() => rmSync(shared, { recursive: true, force: true }));

const runs = (config: VmmConfig) => createProcesses().find(isOf(config));

/** One microVM's directories and config; everything of it is gone at the end of the test. */
function makeBed(word = '', changes: Partial<VmmConfig> = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'fl-jail-'));
  const config: VmmConfig = {
    uid: `01JAIL${process.pid.toString(36).toUpperCase()}${(++made).toString(36).toUpperCase()}`.padEnd(26, '0'),
    ...{ runDirectory: join(directory, 'run', 'vm'), stateDirectory: join(directory, 'state'), user: 77_002 },
    ...{ vcpu: 2, memoryInMb: 96, kernel: join(directory, 'kernel'), disks: [], nics: [] },
    cmdline: word === '' ? '' : `stand-in=${word}`,
    ...changes,
  };
  mkdirSync(config.runDirectory, { recursive: true, mode: 0o700 });
  mkdirSync(config.stateDirectory, { mode: 0o700 });
  writeFileSync(config.kernel, '\x7fELF', { mode: 0o600 });
  const console = (): string => {
    const path = join(config.stateDirectory, 'console.log');
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  };
  const log = memoryLog();
  return {
    ...{ config, directory, console, log },
    firecracker: (options: Partial<FirecrackerOptions> = {}): Promise<Vmm> =>
      createFirecracker({
        ...{ binary, jailer, jail: 'on', kvm: 'auto', devices: async () => ({ groups: [] }) },
        ...{ path: process.env.PATH ?? '', whose: 'test', run, converse, files, clock, log },
        ...{ processes: createProcesses(), starts: new Starts(clock) },
        ...options,
      }),
    until: (line: RegExp) => expect.poll(console, patiently).toMatch(line) as unknown as Promise<void>,
    /** Nothing of it runs, nothing is mounted, and its run-time directory is as it was. */
    async nothingLeft() {
      expect(await runs(config)).toEqual([]);
      expect(readdirSync(config.runDirectory)).toEqual([]);
      expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toMatch(/flintlock-jail|fl-jail-\w+\/run/);
    },
    async [Symbol.asyncDispose]() {
      for (const { pid } of await runs(config)) process.kill(pid, 'SIGKILL');
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function makeDisk(path: string, first: string, sectors = 8): void {
  const bytes = Buffer.alloc(sectors * 512);
  bytes.write(first);
  writeFileSync(path, bytes, { mode: 0o600 });
}

/** A directory on a file system of its own, which no hard link leads out of. */
function otherFileSystem(): string {
  const directory = mkdtempSync(join(tmpdir(), 'fl-jail-other-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'nodev,noexec,nosuid', 'other', directory]);
  onTestFinished(() => {
    execFileSync('umount', [directory]);
    rmSync(directory, { recursive: true });
  });
  return directory;
}

/** The path of a root is told as `/` whosever it is. */
const isInJail = (pid: number): boolean => statSync(`/proc/${pid}/root/`).ino !== statSync('/').ino;
const statusOf = (pid: number): string => readFileSync(`/proc/${pid}/status`, 'utf8');
/** What is mounted where it is, by the path there, with its options. */
const mountsOf = (pid: number): ReadonlyMap<string, readonly string[]> =>
  new Map(
    readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
      .split('\n')
      .flatMap((line): [string, readonly string[]][] => {
        const [, , , , at, options] = line.split(' ');
        return at === undefined || options === undefined ? [] : [[at, options.split(',')]];
      }),
  );

describe('a jailed guest', () => {
  test('sees its own files and nothing else of the host, as a user without any right', async () => {
    await using bed = makeBed();
    const disks: VmmDisk[] = [
      { id: 'root', path: join(bed.config.stateDirectory, 'disk0'), format: 'raw', readOnly: false, isRoot: true },
      { id: 'a-shared.one', path: join(bed.directory, 'golden'), format: 'raw', readOnly: true, isRoot: false },
    ];
    for (const { path, id } of disks) makeDisk(path, `is ${id}`);
    const config = { ...bed.config, disks };
    const vmm = await bed.firecracker();
    expect((await vmm.info()).capabilities).toContain('jail');
    const running = await vmm.start(config, soon());
    await bed.until(/stand-in: up cpus=2 mib=96/);
    const { pid } = running.process;
    const status = statusOf(pid);
    for (const ids of ['Uid', 'Gid']) expect(status).toMatch(new RegExp(`^${ids}:(\\t77002){4}$`, 'm'));
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    expect(status).toMatch(/^Groups:\s*$/m);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
      expect(status).toMatch(new RegExp(`^${set}:\\t0+$`, 'm'));

    // `usr`, `/dev/null` and the like are the stand-in's own, which is a script: see its jailer.
    const root = `/proc/${pid}/root`;
    expect(readdirSync(root)).toEqual(
      expect.arrayContaining([
        'dev',
        'disk0',
        'disk1',
        'firecracker',
        'firecracker.log',
        'firecracker.pid',
        'kernel',
        'run',
      ]),
    );
    for (const path of ['etc', 'proc', 'sys', 'home', 'var', 'root'])
      expect(readdirSync(root).includes(path), path).toBe(false);
    const nodes = readdirSync(`${root}/dev`).filter((name) => name !== 'userfaultfd'); // where the kernel has it
    expect(nodes.toSorted()).toEqual(['kvm', 'net', 'null', 'urandom']);
    const seen = mountsOf(pid);
    for (const at of ['/kernel', '/disk1'])
      expect(seen.get(at)).toEqual(expect.arrayContaining(['ro', 'nodev', 'noexec']));
    for (const at of ['/disk0', '/run'])
      expect(seen.get(at)).toEqual(expect.arrayContaining(['rw', 'nosuid', 'noexec']));
    expect([...seen.keys()].filter((at) => at.includes(bed.directory))).toEqual([]);

    expect(bed.console()).toContain('disk vda ro=0 sectors=8 first=is root.\r\ndisk vdb ro=1 sectors=8 first=is a-sha');
    expect(readFileSync(join(bed.config.stateDirectory, 'disk0'), 'utf8')).toContain('written by the guest');
    // On the host there is no more of it than without a jail, and its socket cannot be replaced by it.
    expect(readdirSync(config.runDirectory).toSorted()).toEqual(['agent.sock', 'api.sock', 'console.in', 'metrics']);
    expect(statSync(config.runDirectory)).toMatchObject({ uid: 0, mode: 0o40700 });
    expect(readdirSync(config.stateDirectory).toSorted()).toEqual([
      'console.log',
      'disk0',
      'firecracker.log',
      'vmm.log',
    ]);
    await vmm.stop(config, running.process, soon());
    await bed.nothingLeft();
  });

  test('has disks of other file systems as they are: what it writes is written there', async () => {
    await using bed = makeBed();
    const [disk, kernel] = [join(otherFileSystem(), 'disk'), join(otherFileSystem(), 'kernel')];
    makeDisk(disk, 'far away');
    copyFileSync(bed.config.kernel, kernel);
    const disks: VmmDisk[] = [{ id: 'd', path: disk, format: 'raw', readOnly: false, isRoot: true }];
    const vmm = await bed.firecracker();
    const running = await vmm.start({ ...bed.config, disks, kernel }, soon());
    await bed.until(/first=far away/);
    expect(readFileSync(disk, 'utf8')).toContain('written by the guest');
    expect(statSync(`/proc/${running.process.pid}/root/disk0`)).toMatchObject({ ino: statSync(disk).ino });
    expect(statSync(disk).nlink).toBe(1);
    await vmm.stop(bed.config, running.process, soon());
    await bed.nothingLeft();
  });

  test('opens its taps by a node of its own, whoever may open the host’s', async () => {
    await using netns = await createNetns();
    const limits = { signal: soon(), timeoutMs: 60_000 };
    await netns.run(['ip', 'tuntap', 'add', 'dev', 'fltest0', 'mode', 'tap'], limits);
    await using bed = makeBed('', { nics: [{ device: 'fltest0', mac: '02:00:00:00:00:2a' }] });
    const vmm = await bed.firecracker({ processes: netns.processes, run: netns.run });
    const running = await vmm.start(bed.config, soon());
    await bed.until(/nic eth0 mac=02:00:00:00:00:2a tap=fltest0/);
    await vmm.stop(bed.config, running.process, soon());
    await bed.nothingLeft();
  });

  test('is typed to, taken over by a later daemon with another jail, reset, and started again', async () => {
    await using bed = makeBed();
    const first = await bed.firecracker();
    const running = await first.start(bed.config, soon());
    await bed.until(/up/);
    running.release();
    const vmm = await bed.firecracker({ jail: 'off' });
    const adopted = await vmm.adopt(bed.config, running.process, soon());
    if ('reason' in adopted) throw new Error(adopted.message);
    expect(adopted).toMatchObject({ guest: 'running', process: running.process });
    await adopted.pause(soon());
    await adopted.resume(soon());
    const console = await vmm.openChannel(bed.config, 'console', soon());
    await console.write(Buffer.from('reboot\r'));
    expect(await adopted.ended).toMatchObject({ reason: 'GuestReset' });
    console.close();
    // What the last one left is no obstacle, nor that it is in no jail now.
    for (const jail of ['off', 'on'] as const) {
      const next = await (await bed.firecracker({ jail })).start(bed.config, soon());
      expect(isInJail(next.process.pid)).toBe(jail === 'on');
      process.kill(next.process.pid, 'SIGKILL');
      expect(await next.ended).toMatchObject({ reason: 'VmmKilled' });
    }
    await vmm.stop(bed.config, undefined, soon());
    await bed.nothingLeft();
  });

  test('is found by a daemon that comes between its start and its mark', async () => {
    await using bed = makeBed();
    const started = await (await bed.firecracker()).start(bed.config, soon());
    started.release();
    const taken = await (await bed.firecracker()).start(bed.config, soon());
    expect(taken.process).toEqual(started.process);
    expect(await runs(bed.config)).toHaveLength(1);
    await (await bed.firecracker()).stop(bed.config, undefined, soon());
    await bed.nothingLeft();
  });
});

describe('a jail that cannot be', () => {
  const withJailer = (misbehaviour: JailerMisbehaviour): Partial<FirecrackerOptions> => {
    const place = mkdtempSync(join(shared, 'p-'));
    return { binary: makeStandIn(place), jailer: makeJailer(place, misbehaviour) };
  };

  test.each<[string, JailerMisbehaviour, RegExp]>([
    [
      'for want of device nodes',
      { how: 'no-nodes' },
      /^Cannot jail Firecracker: Failed to create \/dev\/net\/tun via mknod.*CAP_MKNOD/,
    ],
    ['because the jailer ends', { how: 'exits' }, /exit status 1 before the guest ran: nothing would do/],
  ])('%s is told, and nothing is left', async (_, misbehaviour, words) => {
    await using bed = makeBed();
    const vmm = await bed.firecracker(withJailer(misbehaviour));
    await expect(vmm.start(bed.config, soon())).rejects.toMatchObject({
      ...{ kind: 'refused', reason: 'ProviderRefused' },
      message: expect.stringMatching(words),
    });
    await bed.nothingLeft();
  });

  test('because a file of it is not there is told with the file', async () => {
    await using bed = makeBed();
    const vmm = await bed.firecracker();
    const config = { ...bed.config, initrd: '/nowhere/initrd' };
    await expect(vmm.start(config, soon())).rejects.toThrow(/\/nowhere\/initrd.*(?:ENOENT|No such file)/);
    await bed.nothingLeft();
  });

  test('where a file is hidden from its user is told with the file, its owner and its mode', async () => {
    await using bed = makeBed();
    const disk = join(dirname(bed.config.stateDirectory), 'golden');
    makeDisk(disk, 'x');
    const disks: VmmDisk[] = [{ id: 'd', path: disk, format: 'raw', readOnly: true, isRoot: true }];
    // As where the file system knows no rights.
    const setMode = async (path: string, mode: number) => (path === disk ? undefined : files.setMode(path, mode));
    const vmm = await bed.firecracker({ files: { ...files, setMode } });
    await expect(vmm.start({ ...bed.config, disks }, soon())).rejects.toThrow(
      /will not have disk "d".*Permission denied.*golden is user 0's with mode 0600, and its Firecracker is user 77002/,
    );
    await bed.nothingLeft();
  });

  test.each<[string, () => Partial<FirecrackerOptions>, RegExp]>([
    ['missing', () => ({ jailer: '/nowhere/jailer' }), /\/nowhere\/jailer is not installed/],
    [
      'of another version',
      () => withJailer({ version: '1.16.0' }),
      /is of version 1\.16\.0, and Firecracker of 1\.17\.0-dev/,
    ],
    ['another program', () => withJailer({ how: 'silent' }), /is no jailer of Firecracker's/],
    [
      'not executable',
      () => ({ jailer: notExecutable() }),
      /cannot be tried: .*(?:EACCES|ermission denied|not executable)/,
    ],
  ])(
    'with a jailer that is %s: no Firecracker where one is wanted, else it runs without',
    async (_, options, words) => {
      await using bed = makeBed();
      const chosen = options();
      const strict = await bed.firecracker(chosen);
      expect(await strict.info()).toMatchObject({ available: false, unavailableReason: expect.stringMatching(words) });
      await expect(strict.start(bed.config, soon())).rejects.toMatchObject({ reason: 'ProviderUnavailable' });
      const vmm = await bed.firecracker({ ...chosen, jail: 'auto' });
      const running = await vmm.start(bed.config, soon());
      expect(isInJail(running.process.pid)).toBe(false);
      expect((await vmm.info()).capabilities).not.toContain('jail');
      expect(bed.log.lines).toContainEqual(
        expect.objectContaining({
          message: 'Firecracker runs in no jail',
          fields: expect.objectContaining({ why: expect.stringMatching(words) }),
        }),
      );
      await vmm.stop(bed.config, undefined, soon());
      await bed.nothingLeft();
    },
  );
});

function notExecutable(): string {
  const path = join(mkdtempSync(join(shared, 'n-')), 'jailer');
  writeFileSync(path, '#!/bin/sh\n');
  chmodSync(path, 0o644);
  return path;
}

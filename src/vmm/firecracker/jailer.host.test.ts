import { spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { makeStandIn } from '../../../test/stand-ins/firecracker/program.ts';
import { makeJailer } from '../../../test/stand-ins/jailer/program.ts';
import { PATIENCE } from '../../../test/support/daemon.ts';
import { memoryLog } from '../../../test/support/memory-log.ts';
import { createNetns } from '../../../test/support/netns.ts';
import { clock } from '../../host/clock.ts';
import { converse } from '../../host/converse.ts';
import { files } from '../../host/files.ts';
import { createProcesses } from '../../host/processes.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import { Starts } from '../supervisor/starts.ts';
import { createFirecracker } from './firecracker.ts';
import { jailedArgv } from './jail-argv.ts';
import { shownFiles } from './jail-layout.ts';
import { isOf } from './layout.ts';

/** The real programs, of one release, where there are some. */
const real = process.env.FLINTLOCK_TEST_FIRECRACKER ?? '';
const realJailer = process.env.FLINTLOCK_TEST_JAILER ?? '';
vi.setConfig({ testTimeout: 300_000 });

function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'fl-jailer-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Arguments that end a jailer before it has done anything, by what is wrong with them. */
function wrongArguments(directory: string): readonly (readonly string[])[] {
  const program = join(directory, 'program');
  writeFileSync(program, '');
  const right = { id: 'a', 'exec-file': program, uid: '77003', gid: '77003', 'chroot-base-dir': directory };
  const withOut = (name: string) =>
    Object.entries(right).flatMap(([key, value]) => (key === name ? [] : [`--${key}`, value]));
  const withOther = (name: keyof typeof right, value: string) =>
    Object.entries({ ...right, [name]: value }).flatMap(([key, one]) => [`--${key}`, one]);
  return [
    [],
    ...['id', 'exec-file', 'uid', 'gid'].map(withOut),
    [...withOut(''), '--nonesuch'],
    [...withOut(''), 'word'],
    [...withOut(''), '--id', 'b'],
    [...withOut('id'), '--id'],
    [...withOut('id'), '--id', '--uid'],
    withOther('id', ''),
    withOther('id', 'a_b'),
    withOther('id', 'a'.repeat(65)),
    withOther('exec-file', '/nowhere/program'),
    withOther('exec-file', directory),
    withOther('uid', 'me'),
    withOther('gid', '-1'),
    withOther('chroot-base-dir', '/nowhere/jails'),
    withOther('chroot-base-dir', program),
  ];
}

/** The status, and the first line of what it says: of a second one it prints its own structures. */
function refusals(jailer: string, directory: string): readonly string[] {
  return wrongArguments(directory).map((args) => {
    const { status, stderr } = spawnSync(jailer, args, { encoding: 'utf8', timeout: 60_000 });
    return `${args.join(' ')}: ${status} ${stderr.split('\n')[0]}`;
  });
}

let standIn: string;
beforeAll(() => {
  const directory = mkdtempSync(join(tmpdir(), 'fl-jailer-program-'));
  makeStandIn(directory);
  standIn = makeJailer(directory);
  return () => rmSync(directory, { recursive: true, force: true });
});

test('the stand-in refuses what is wrong, and leaves nothing of it', () => {
  const directory = makeDirectory();
  const said = refusals(standIn, directory);
  for (const line of said) expect(line).toMatch(/: 1 (?:Failed to parse|Invalid|Failed to canonicalize|.* is not a )/);
  expect(said[0]).toMatch(/Argument 'exec-file' required, but not found\.$/);
  expect(readdirSync(directory)).toEqual(['program']);
});

test.skipIf(realJailer === '')('the real jailer refuses the same, in the same words', () => {
  const directory = makeDirectory();
  expect(refusals(standIn, directory)).toEqual(refusals(realJailer, directory));
});

/** What a stand-in that is a script has in its jail beside. */
const OF_SCRIPT =
  /^(?:usr|lib|lib64|bin|package\.json|.+\.ts|firecracker-stand-in|flintlock-agent|guest-programs|dev\/null)$/;
const RIGHTS = /^(?:Uid|Gid|Groups|NoNewPrivs|Cap\w+):.*$/gm;

/** All that can be seen of a jail, and of the process in it, before its guest is told of. */
async function jailOf(binary: string, jailer: string): Promise<readonly string[]> {
  const directory = makeDirectory();
  const config = {
    ...{ uid: '01SAME', user: 77_005, runDirectory: join(directory, 'run'), stateDirectory: join(directory, 'state') },
    ...{ kernel: join(directory, 'kernel'), initrd: join(directory, 'initrd'), nics: [] },
    disks: [{ id: 'd', path: join(directory, 'disk'), format: 'raw', readOnly: false, isRoot: true } as const],
  };
  for (const path of [config.runDirectory, config.stateDirectory]) mkdirSync(path, { mode: 0o700 });
  for (const { path } of shownFiles(config)) writeFileSync(path, '', { mode: 0o600 });
  const processes = createProcesses();
  const argv = jailedArgv(config, { jailer, program: binary, programBytes: statSync(binary).size });
  const log = join(directory, 'log');
  const { identity, exited } = await processes.start(argv, { log, directory: config.runDirectory });
  try {
    const socket = join(config.runDirectory, 'api.sock');
    await expect.poll(() => existsSync(socket) || readFileSync(log, 'utf8'), { timeout: 60_000 }).toBe(true);
    const of = (name: string): string => readFileSync(`/proc/${identity.pid}/${name}`, 'utf8');
    const names = (path: string): string[] =>
      readdirSync(`/proc/${identity.pid}/root/${path}`).map((name) => join(path, name));
    const there = ['', ...['', 'dev', 'dev/net', 'run'].flatMap(names)].filter(
      (name) => !OF_SCRIPT.test(name) && name !== process.execPath.split('/')[1],
    );
    const seen = there.map((name) => {
      const { mode, uid, gid, rdev } = lstatSync(`/proc/${identity.pid}/root/${name}`);
      // Of a copy of the program the mode is that of the program.
      return `/${name} ${name === 'firecracker' ? '' : mode.toString(8)} ${uid}:${gid} ${rdev}`;
    });
    const mounts = of('mountinfo')
      .split('\n')
      .map((line) => line.split(' '))
      .filter(([, , , , at = '']) => at !== '' && !OF_SCRIPT.test(at.slice(1)) && !/\/node$/.test(at))
      .map(([, , , , at, options]) => `${at} ${options}`);
    const all = of('cmdline').split('\0');
    const words = all.slice(all.indexOf('/firecracker')).map((word) => word.replace(/^\d+$/, 'NUMBER'));
    return [
      ...[...seen, ...mounts].toSorted(),
      ...(of('status').match(RIGHTS) ?? []),
      /^Max open files.*$/m.exec(of('limits'))?.[0] ?? '',
      ...[words.join(' '), of('environ')],
    ];
  } finally {
    process.kill(identity.pid, 'SIGKILL');
    await exited;
  }
}

test.skipIf(real === '' || realJailer === '')('a real jail is as that of the stand-in', async () => {
  const directory = makeDirectory();
  const program = makeStandIn(directory);
  const seen = await jailOf(program, makeJailer(directory));
  expect(seen).toEqual(await jailOf(real, realJailer));
  expect(seen).toContain('NoNewPrivs:\t1');
});

test.skipIf(real === '' || realJailer === '')(
  'the real programs, in a real jail, take all that they are told of a machine',
  async () => {
    await using netns = await createNetns();
    const limits = { signal: AbortSignal.timeout(60_000), timeoutMs: 60_000 };
    await netns.run(['ip', 'tuntap', 'add', 'dev', 'fltest0', 'mode', 'tap'], limits);
    const directory = makeDirectory();
    const config: VmmConfig = {
      ...{ uid: `01REAL${process.pid.toString(36).toUpperCase()}`.padEnd(26, '0'), user: 77_004 },
      ...{ runDirectory: join(directory, 'run'), stateDirectory: join(directory, 'state') },
      ...{ vcpu: 1, memoryInMb: 64, kernel: join(directory, 'kernel'), initrd: join(directory, 'kernel'), cmdline: '' },
      nics: [{ device: 'fltest0', mac: '02:00:00:00:00:2a' }],
      disks: [
        { id: 'root', path: join(directory, 'state', 'disk0'), format: 'raw', readOnly: false, isRoot: true },
        { id: 'shared', path: join(directory, 'golden'), format: 'raw', readOnly: true, isRoot: false },
      ],
    };
    for (const path of [config.runDirectory, config.stateDirectory]) mkdirSync(path, { mode: 0o700 });
    writeFileSync(config.kernel, '\x7fELF', { mode: 0o600 });
    for (const { path } of config.disks) writeFileSync(path, new Uint8Array(4096), { mode: 0o600 });
    const vmm = await createFirecracker({
      ...{ binary: real, jailer: realJailer, jail: 'on', kvm: 'trust', path: process.env.PATH ?? '', whose: 'test' },
      ...{ run: netns.run, converse, files, processes: netns.processes, clock, log: memoryLog() },
      starts: new Starts(clock),
    });
    // The first that asks does not wait for a trial that takes long.
    const tried = { timeout: 120_000 * PATIENCE, interval: 100 };
    await vi.waitFor(
      async () => expect(await vmm.info()).toMatchObject({ available: true, unavailableReason: '' }),
      tried,
    );
    const info = await vmm.info();
    expect(info.capabilities).toContain('jail');
    // With a kernel that is none, and perhaps without KVM: the start is what it refuses, and nothing before.
    await expect(vmm.start(config, AbortSignal.timeout(120_000))).rejects.toMatchObject({
      ...{ kind: 'refused', reason: 'ProviderRefused' },
      message: expect.stringMatching(/^Firecracker will not start the guest: Start microvm error: /),
    });
    expect(await createProcesses().find(isOf(config))).toEqual([]);
    expect(readdirSync(config.runDirectory)).toEqual([]);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain('flintlock-jail');
  },
);

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { startedBed } from '../../test/support/started.ts';
import type { ProcessIdentity } from '../ports/host.ts';
import { roomText } from './disk-room.ts';
import type { createProcesses } from './processes.ts';
import { Starter } from './starter.ts';
import { typeInto } from './type-into.ts';

const never = new AbortController().signal;

function setUp(starter?: Starter) {
  const bed = startedBed(starter);
  return {
    ...bed,
    /** A process of this test that `processes` did not start. */
    stranger(...[program, ...args]: readonly [string, ...string[]]): ChildProcess {
      const child = spawn(program, args, { stdio: 'ignore' });
      bed.own(child.pid);
      return child;
    },
  };
}

async function identityOf(processes: ReturnType<typeof createProcesses>, pid = -1): Promise<ProcessIdentity> {
  for (let i = 0; i < 500; i++) {
    const [found] = await processes
      .find((argv) => argv.length > 0 && argv[0] !== process.execPath)
      .then((all) => all.filter((p) => p.pid === pid));
    if (found) return { pid: found.pid, startTime: found.startTime, bootId: found.bootId };
    await sleep(10);
  }
  throw new Error(`no process ${pid}`);
}

describe.each([
  ['by ourselves', () => undefined],
  ['by a starter', () => new Starter()],
])('a process that is started %s', (_by, starter) => {
  test('leads its own session, writes to the log alone, and is known by what it is', async () => {
    const { start, processes, directory } = setUp(starter());
    const { identity } = await start('sh', '-c', 'echo out; echo err >&2; exec sleep 60 # a ) b');
    const info = await processes.inspect(identity);
    expect(info).toMatchObject({ ...identity, zombie: false });
    const fields = readFileSync(`/proc/${identity.pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    expect(fields[3]).toBe(String(identity.pid)); // its session
    for (let i = 0; i < 500 && readFileSync(`${directory}/log`, 'utf8') !== 'out\nerr\n'; i++) await sleep(10);
    expect(readFileSync(`${directory}/log`, 'utf8')).toBe('out\nerr\n');
    expect(statSync(`${directory}/log`).mode & 0o777).toBe(0o600);
  });

  test.each([
    ['exit 7', { code: 7, signal: null, seen: true }],
    ['kill -TERM $$', { code: null, signal: 'SIGTERM', seen: true }],
  ])('and does "%s" is told with how it ended', async (script, exit) => {
    const { start, processes } = setUp(starter());
    const { identity, exited } = await start('sh', '-c', script);
    expect(await exited).toEqual(exit);
    await processes.ended(identity, never);
    expect(await processes.inspect(identity)).toBeUndefined();
  });

  test('finds open what it may not open itself, reads a FIFO without an end, and writes where it is told', async () => {
    const { directory, processes } = setUp(starter());
    const [input, output, log, file] = ['in', 'out', 'log', 'file'].map((name) => `${directory}/${name}`);
    const here = `${directory}/here`;
    execFileSync('mkfifo', [`${input}`]);
    execFileSync('mkdir', [here]);
    writeFileSync(`${file}`, 'in it');
    const script = 'cat <&3; echo more >&3 || echo refused; pwd; read line; echo "$line"; echo err >&2; read line';
    const { identity, exited } = await processes.start(['sh', '-c', script], {
      log: `${log}`,
      ...{ output: `${output}`, input: `${input}`, directory: here },
      open: [{ path: `${file}`, readOnly: true }],
    });
    const typed = typeInto(`${input}`);
    await typed.write(Buffer.from('typed\n'));
    typed.close();
    for (let i = 0; i < 500 && !readFileSync(`${log}`, 'utf8').endsWith('err\n'); i++) await sleep(10);
    expect(readFileSync(`${output}`, 'utf8')).toBe(`in itrefused\n${here}\ntyped\n`);
    expect(readFileSync(`${file}`, 'utf8')).toBe('in it');
    // Who typed has gone, and its input goes on.
    expect(await processes.inspect(identity)).toBeDefined();
    const again = typeInto(`${input}`);
    await again.write(Buffer.from('the end\n'));
    again.close();
    expect(await exited).toMatchObject({ code: 0 });
  });

  test('but is not there says so', async () => {
    const { start } = setUp(starter());
    await expect(start('flintlock-no-such-tool')).rejects.toMatchObject({
      kind: 'tool',
      message: expect.stringContaining('not installed or not in PATH'),
    });
  });

  test('without a place for its log is a Fault, and is not started', async () => {
    const { processes } = setUp(starter());
    await expect(processes.start(['sleep', '60'], { log: '/nowhere/at/all/log' })).rejects.toMatchObject({
      kind: 'tool',
      message: expect.stringContaining('/nowhere/at/all/log'),
    });
  });

  test('without room for its log says what is left on that disk', async () => {
    const { processes, directory } = setUp(starter());
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m,nr_inodes=1', 'tmpfs', directory]);
    try {
      await expect(processes.start(['sleep', '60'], { log: `${directory}/log` })).rejects.toMatchObject({
        ...{ kind: 'full', reason: 'StorageFull' },
        message: `Cannot open the log ${directory}/log: no space left on the disk: the file system of ${directory} has no inodes left`,
      });
      expect(roomText(`${directory}/log`)).toBe(`the file system of ${directory} has 65536 KiB and 0 inodes left`);
    } finally {
      execFileSync('umount', [directory]);
    }
  });
});

describe('another process', () => {
  test('is not taken for one with its pid', async () => {
    const { start, processes } = setUp();
    const { identity } = await start('sleep', '60');
    for (const other of [
      { ...identity, startTime: '1' },
      { ...identity, bootId: 'another boot' },
      { ...identity, pid: 2 ** 22 + 1 },
    ]) {
      expect(await processes.inspect(other)).toBeUndefined();
      expect(await processes.signal(other, () => true, 'SIGKILL')).toBe(false);
      await processes.ended(other, never);
    }
    expect(await processes.inspect(identity)).toBeDefined();
  });

  test('gets no signal unless its command line is ours', async () => {
    const { stranger, processes } = setUp();
    const child = stranger('sleep', '60');
    const identity = await identityOf(processes, child.pid);
    await expect(processes.signal(identity, (argv) => argv.includes('ours'), 'SIGKILL')).rejects.toMatchObject({
      kind: 'refused',
    });
    expect(await processes.inspect(identity)).toBeDefined();
    expect(await processes.signal(identity, (argv) => argv.join(' ') === 'sleep 60', 'SIGKILL')).toBe(true);
    await processes.ended(identity, never);
  });

  test('that is ending is as good as gone, and is no stranger', async () => {
    const { processes, stranger } = setUp();
    const isOurs = (argv: readonly string[]) => argv[0] === 'sleep';
    // Its command line goes a moment before it is a zombie: seldom seen, so that many end.
    for (let round = 0; round < 200; round++) {
      const identity = await identityOf(processes, stranger('sleep', '60').pid);
      while (await processes.signal(identity, isOurs, 'SIGTERM'));
    }
  });

  test('is waited for although it is nobody’s child here, and a zombie is gone', async () => {
    const { stranger, processes } = setUp();
    // Its parent never asks how it ended.
    const parent = stranger('sh', '-c', 'sleep 60 & exec sleep 61');
    const [child] = await (async () => {
      for (let i = 0; i < 500; i++) {
        const found = await processes.find((argv) => argv.join(' ') === 'sleep 60');
        const mine = found.filter(
          ({ pid }) =>
            readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[1] === String(parent.pid),
        );
        if (mine.length > 0) return mine;
        await sleep(10);
      }
      return [];
    })();
    if (!child) throw new Error('it was not started');
    const ended = processes.ended(child, never);
    process.kill(child.pid, 'SIGKILL');
    await ended;
    expect(await processes.inspect(child)).toBeUndefined();
    expect((await processes.find(() => true)).some(({ pid }) => pid === child.pid)).toBe(false);
  });

  test('is waited for as long as the signal allows', async () => {
    const { start, stranger, processes } = setUp();
    const child = (await start('sleep', '60')).identity;
    const other = await identityOf(processes, stranger('sleep', '61').pid);
    for (const identity of [child, other]) {
      const abort = new AbortController();
      const ended = processes.ended(identity, abort.signal);
      const seen = expect(ended).rejects.toThrow('enough');
      await sleep(20);
      abort.abort(new Error('enough'));
      await seen;
      await expect(processes.ended(identity, AbortSignal.abort(new Error('at once')))).rejects.toThrow('at once');
    }
  });
});

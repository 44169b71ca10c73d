import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { isAlive } from '../../test/support/is-alive.ts';
import { patientRun, run, staysWithUs } from './run.ts';

const never = new AbortController().signal;
const limits = { signal: never, timeoutMs: 20_000 };
const sh = (script: string, ...args: readonly string[]): readonly [string, ...string[]] => [
  'sh',
  '-c',
  script,
  'sh',
  ...args,
];

function directory(): string {
  const path = mkdtempSync('/tmp/flt-run-');
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (isSo()) return;
    await sleep(10);
  }
  throw new Error(`not in 5 s: ${what}`);
}
const pidIn = (path: string): number => Number(existsSync(path) ? readFileSync(path, 'utf8') : '');
describe('a tool', () => {
  test('gets its arguments whole, whatever they hold, and answers by its output', async () => {
    const args = ['a b', "'", '"; rm -rf /', '$(id)', '*', '', '-x', 'ü\n'];
    const said = await run(sh('for a; do printf "%s|" "$a"; done', ...args), limits);
    expect(said).toBe(args.map((a) => `${a}|`).join(''));
  });

  test('reads its input, and may leave it unread', async () => {
    expect(await run(['cat'], { ...limits, input: 'x'.repeat(300_000) })).toHaveLength(300_000);
    expect(await run(['true'], { ...limits, input: 'x'.repeat(300_000) })).toBe('');
  });

  test('sees no environment but PATH, language, what keeps configuration of others away, and what it is given', async () => {
    process.env.FLINTLOCK_SECRET = 'x';
    onTestFinished(() => void delete process.env.FLINTLOCK_SECRET);
    const names = (await run(['env'], { ...limits, env: { GIVEN: '1' } }))
      .split('\n')
      .map((line) => line.split('=')[0]);
    expect(names.filter(Boolean).toSorted()).toEqual(['GIVEN', 'HOME', 'LANG', 'MKE2FS_CONFIG', 'MTOOLSRC', 'PATH']);
  });

  test('that fails is told with its status and the end of what it said', async () => {
    await expect(run(sh('echo no such device >&2; exit 3'), limits)).rejects.toMatchObject({
      kind: 'tool',
      message: 'sh failed (exit status 3): no such device',
    });
    await expect(run(['false'], limits)).rejects.toMatchObject({ message: expect.stringContaining('it said nothing') });
    await expect(run(sh('kill -9 $$'), limits)).rejects.toMatchObject({ message: expect.stringContaining('SIGKILL') });
  });

  test('that says much is cut at the end', async () => {
    const failed = await run(sh('yes errors | head -c 1000000 >&2; echo the end >&2; exit 1'), limits).catch(String);
    expect(failed.length).toBeLessThan(3_000);
    expect(failed).toContain('the end');
  });

  const FULL = { kind: 'full', reason: 'StorageFull', terminal: false };

  test('that has no quota left is full', async () => {
    await expect(run(sh('echo "cp: x: Disk quota exceeded" >&2; exit 1'), limits)).rejects.toMatchObject(FULL);
  });

  test.each([
    ['size=64k', /\d KiB and \d+ inodes left/],
    ['size=64m,nr_inodes=2', /no inodes left/],
  ])('that says "no space" of a disk of %s is full, with what is left', async (size, words) => {
    const disk = directory();
    await run(['mount', '-t', 'tmpfs', '-o', size, 'tmpfs', disk], limits);
    onTestFinished(async () => void (await run(['umount', disk], limits)));
    const copy = run(['cp', '-r', '/usr/share/doc/bash', `--target-directory=${disk}`], limits);
    await expect(copy).rejects.toMatchObject({ ...FULL, message: expect.stringMatching(words) });
  });

  test('that says it of something else has failed', async () => {
    const script = sh('echo "setfattr: $1: No space left on device" >&2; exit 1', directory());
    await expect(run(script, limits)).rejects.toMatchObject({ kind: 'tool', reason: undefined });
  });

  test('that is not installed says so', async () => {
    await expect(run(['flintlock-no-such-tool'], limits)).rejects.toMatchObject({
      kind: 'tool',
      message: 'Cannot run flintlock-no-such-tool: it is not installed or not in PATH',
    });
  });

  test('whose argument no program can get is refused, and leaves nothing behind', async () => {
    await expect(run(['echo', 'a\0b'], limits)).rejects.toThrow();
    await expect(run(['echo', 'x'.repeat(4 << 20)], limits)).rejects.toThrow();
  });
});

describe('a tool that takes too long', () => {
  test('is ended, with all that it started, and its caller told', async () => {
    const file = `${directory()}/pid`;
    const late = run(sh('sleep 60 & echo $! >"$1"; wait', file), { ...limits, timeoutMs: 400 });
    await expect(late).rejects.toMatchObject({ kind: 'timeout', message: 'sh did not end in 400 ms' });
    await until('its child has ended', () => !isAlive(pidIn(file)));
  });

  test('has as many times as long on a host that is said to be slow, and the words to say so', async () => {
    const limited = { ...limits, timeoutMs: 400 };
    const late = patientRun(2)(['sleep', '60'], limited);
    await expect(late).rejects.toMatchObject({
      kind: 'timeout',
      message: 'sleep did not end in 800 ms; if this host is slow, give the daemon a larger --patience',
    });
    expect(await patientRun(20)(sh('sleep 0.6; echo "$1"', 'done'), limited)).toBe('done\n');
  });

  test('is ended by the signal, whose reason its caller gets', async () => {
    const file = `${directory()}/pid`;
    const abort = new AbortController();
    const running = run(sh('sleep 60 & echo $! >"$1"; wait', file), { ...limits, signal: abort.signal });
    const seen = expect(running).rejects.toThrow('the caller left');
    await until('it runs', () => pidIn(file) > 0);
    abort.abort(new Error('the caller left'));
    await seen;
    await until('its child has ended', () => !isAlive(pidIn(file)));
  });

  test('is not even begun when the signal has been given', async () => {
    const file = `${directory()}/made`;
    await expect(run(['touch', file], { ...limits, signal: AbortSignal.abort(new Error('too late')) })).rejects.toThrow(
      'too late',
    );
    expect(existsSync(file)).toBe(false);
  });

  test('keeps nobody waiting although what it started left its group and holds its output', async () => {
    const file = `${directory()}/pid`;
    const at = Date.now();
    const late = run(sh('setsid sh -c \'echo $$ >"$1"; exec sleep 60\' sh "$1" & exit 0', file), {
      ...limits,
      timeoutMs: 500,
    });
    onTestFinished(() => {
      const pid = pidIn(file);
      if (pid > 0) process.kill(pid, 'SIGKILL');
    });
    await late.catch((error: unknown) => expect(error).toMatchObject({ kind: 'timeout' }));
    expect(Date.now() - at).toBeLessThan(5_000);
  });
});

test('a tool that stays is not begun for somebody who is gone', async () => {
  const outcome = async (us: number): Promise<string> => {
    const [first, ...rest] = staysWithUs(['echo', 'it runs'], us);
    const child = spawn(first, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (data: Buffer) => {
      text += data.toString();
    });
    const [code] = (await once(child, 'close')) as [number];
    return `${text.trim()} ${code}`;
  };
  expect(await outcome(process.pid)).toBe('it runs 0');
  expect(await outcome(process.pid + 1)).toBe(' 1');
});

import { Code, ConnectError } from '@connectrpc/connect';
import { expect, test, vi } from 'vitest';
import { fakeVm, startFakeDaemon } from '../../../test/support/fake-daemon.ts';
import { type CliOptions, runCli } from '../../../test/support/run-cli.ts';
import type { ExecRequest, ExecStart } from '../../gen/flintlock/microvm/v1/guest_pb.ts';

type Payload = ExecRequest['payload'];

/** A guest in which `cat` echoes, everything else says what it is and ends with 7. */
async function guest(exit = 7) {
  const came: Payload[] = [];
  let start: ExecStart | undefined;
  const { address } = await startFakeDaemon(
    { getMicroVM: () => ({ microvm: fakeVm() }) },
    {},
    {},
    {
      async *exec(requests) {
        for await (const { payload } of requests) {
          came.push(payload);
          if (payload.case === 'start') {
            start = payload.value;
            const words = [payload.value.command, ...payload.value.args].join(' ');
            yield { payload: { case: 'stdout', value: Buffer.from(`${words}\n`) } };
            yield { payload: { case: 'stderr', value: Buffer.from('warned\n') } };
            if (!payload.value.hasStdin && words !== 'wait') break;
          } else if (payload.case === 'stdin') yield { payload: { case: 'stdout', value: payload.value } };
          else break;
        }
        yield { payload: { case: 'exit', value: { code: exit, timedOut: exit === 143 } } };
      },
    },
  );
  const run = (argv: readonly string[], options?: CliOptions) => runCli(['--host', address, 'exec', ...argv], options);
  return { run, came, start: () => start };
}

test('both outputs and the status come out as the program’s', async () => {
  const { run, start } = await guest();
  const words = ['--user', 'nobody:7', '-e', 'A=b=c', '-e', 'HERE', '-e', 'NOT_HERE', '-w', '/tmp', '--timeout', '90s'];
  const result = await run([...words, 'web', '--', 'ls', '-l', '--', '-x'], { env: { HERE: 'yes' } });
  expect(result).toMatchObject({ exit: 7, stdout: 'ls -l -- -x\n', stderr: 'warned\n' });
  expect(start()).toMatchObject({
    ...{ uid: fakeVm().spec?.uid, user: 'nobody:7', environment: { A: 'b=c', HERE: 'yes' }, directory: '/tmp' },
    ...{ hasStdin: false, shell: false, timeout: { seconds: 90n } },
  });
  expect(start()?.terminal).toBeUndefined();
});

test('-i sends standard input and its end', async () => {
  const { run, came } = await guest(0);
  expect(await run(['-i', 'web', 'cat'], { stdin: 'typed' })).toMatchObject({ exit: 0, stdout: 'cat\ntyped' });
  expect(came.map((payload) => payload.case)).toEqual(['start', 'stdin', 'stdinEof']);
});

test('-t without a terminal runs without one; on a terminal it is raw, and without words a shell', async () => {
  const { run, start } = await guest(0);
  await run(['-t', 'web', 'true']);
  expect(start()?.terminal).toBeUndefined();
  const raw: boolean[] = [];
  async function* keys() {
    yield 'exit\r';
    await vi.waitFor(() => expect(start()?.terminal).toBeDefined());
    yield '\x1d';
  }
  const result = await run(['-it', 'web'], {
    ...{ terminal: true, typed: keys(), env: { TERM: 'vt100' } },
    onRaw: (is) => raw.push(is),
  });
  expect(start()).toMatchObject({ shell: true, terminal: { size: { rows: 24, columns: 80 }, term: 'vt100' } });
  expect(raw).toEqual([true, false]);
  expect(result.exit).toBe(1); // left by Ctrl-]
});

test('Ctrl-C is the program’s, and its end is waited for', async () => {
  const { run, came } = await guest(130);
  const stop = new AbortController();
  const result = await run(['web', 'wait'], {
    interrupt: stop.signal,
    onWrite: (said) => said.includes('wait') && stop.abort(new Error('interrupted')),
  });
  expect(result.exit).toBe(130);
  expect(came.at(-1)).toEqual({ case: 'signal', value: 2 });
});

test('a time that was over is told beside the status', async () => {
  const { run } = await guest(143);
  expect(await run(['--timeout', '1s', 'web', 'x'])).toMatchObject({
    exit: 143,
    stderr: expect.stringContaining('The time was over'),
  });
});

test('nothing to run is wrong usage; a guest without an agent is told in the daemon’s words', async () => {
  const { run } = await guest();
  expect(await run(['web'])).toMatchObject({ exit: 2, stderr: expect.stringContaining('Say what to run') });
  const { address } = await startFakeDaemon(
    { getMicroVM: () => ({ microvm: fakeVm() }) },
    {},
    {},
    {
      // biome-ignore lint/correctness/useYield: it refuses
      async *exec() {
        throw new ConnectError('has no guest agent: restart it once', Code.FailedPrecondition);
      },
    },
  );
  expect(await runCli(['--host', address, 'exec', 'web', 'true'])).toMatchObject({
    exit: 1,
    stderr: expect.stringContaining('restart it once'),
  });
});

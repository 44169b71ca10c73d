import { Code, ConnectError } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { fakeVm, startFakeDaemon } from '../../../test/support/fake-daemon.ts';
import { runCli } from '../../../test/support/run-cli.ts';
import type { ReadConsoleRequest } from '../../gen/flintlock/microvm/v1/microvms_pb.ts';

/** Every byte there is, control characters and broken UTF-8 among them. */
const BYTES = Uint8Array.from({ length: 512 }, (_, i) => i % 256);

async function console_(follow?: () => Promise<void>) {
  const requests: ReadConsoleRequest[] = [];
  const daemon = await startFakeDaemon({
    getMicroVM: () => ({ microvm: fakeVm() }),
    async *readConsole(request, { signal }) {
      requests.push(request);
      yield { data: BYTES.subarray(0, 300) };
      yield { data: BYTES.subarray(300) };
      if (!request.follow) return;
      await follow?.();
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
  });
  return { ...daemon, requests };
}

test.for(['console', 'logs'])('%s prints the recorded bytes unaltered and ends', async (verb) => {
  const { address, requests } = await console_();
  const result = await runCli(['--host', address, verb, 'web', '--tail', '2000'], { terminal: true });
  expect(result).toMatchObject({ exit: 0, stderr: '' });
  expect(result.stdoutBytes).toEqual(Buffer.from(BYTES));
  expect(requests).toMatchObject([{ follow: false, tailBytes: 2000n }]);
});

test('console -f ends with 0 at Ctrl-C', async () => {
  const stop = new AbortController();
  const { address } = await console_(async () => stop.abort(new Error('interrupted')));
  const result = await runCli(['--host', address, 'console', '-f', 'web'], { interrupt: stop.signal });
  expect(result).toMatchObject({ exit: 0, stderr: '' });
});

test('console -f ends when nobody reads it any more', async () => {
  const { address } = await console_();
  const result = await runCli(['--host', address, 'console', '-f', 'web'], { readWrites: 1 });
  expect(result).toMatchObject({ exit: 0, stderr: '' });
  expect(result.stdoutBytes).toHaveLength(300);
});

test('console -f ends with 0 when the microVM is gone', async () => {
  const { address } = await console_(async () => {
    throw new ConnectError('microVM not found', Code.NotFound);
  });
  expect(await runCli(['--host', address, 'console', '-f', 'web'])).toMatchObject({ exit: 0, stderr: '' });
});

test('watch prints a line for each change, or JSON lines', async () => {
  const { address } = await startFakeDaemon({
    async *watchMicroVMs() {
      yield { type: 1, microvm: fakeVm(), cursor: 'c1', at: { seconds: 1_790_000_000n, nanos: 0 } };
      yield { type: 4, cursor: 'c2' };
      yield { type: 3, microvm: fakeVm(), cursor: 'c3', at: { seconds: 1_790_000_001n, nanos: 0 } };
    },
  });
  const text = await runCli(['--host', address, 'watch']);
  expect(text.stdout).toMatch(
    /^\d\d:\d\d:\d\d ADDED {4}default\/web CREATED \(Running\): The guest runs\n\d\d:\d\d:\d\d DELETED {2}default\/web/,
  );
  // the daemon ended it: that is no success
  expect(text).toMatchObject({ exit: 1, stderr: expect.stringContaining('The daemon ended the stream') });
  const json = await runCli(['--host', address, 'watch', '-o', 'json']);
  const events = json.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(events.map(({ type, cursor }) => [type, cursor])).toEqual([
    ['ADDED', 'c1'],
    ['BOOKMARK', 'c2'],
    ['DELETED', 'c3'],
  ]);
});

test('a watch whose daemon is killed says that the connection was cut', async () => {
  const daemon = await startFakeDaemon({
    async *watchMicroVMs() {
      yield { type: 1, microvm: fakeVm() };
      daemon.cut();
      await new Promise(() => undefined);
    },
  });
  const { exit, stderr } = await runCli(['--host', daemon.address, 'watch']);
  expect(exit).toBe(1);
  expect(stderr).toMatch(/the connection was cut\nWas the daemon stopped\? Its microVMs go on without it/);
});

const vmEvent = (id: string, cursor: string) => ({ type: 2 as const, microvm: fakeVm({ id }), cursor });

test('a watch goes on by its cursor when the daemon is back, with nothing left out or twice', async () => {
  const cursors: string[] = [];
  const stop = new AbortController();
  const daemon = await startFakeDaemon({
    async *watchMicroVMs({ cursor }) {
      cursors.push(cursor);
      if (cursors.length === 1) {
        yield { type: 4, cursor: 'e.1' };
        yield vmEvent('a', 'e.2');
        await new Promise(() => undefined);
      }
      if (cursors.length === 2) throw new ConnectError('The daemon is shutting down: try again', Code.Unavailable);
      yield vmEvent('b', 'e.3');
      await new Promise(() => undefined);
    },
  });
  let isCut = false;
  const result = await runCli(['--host', daemon.address, 'watch'], {
    interrupt: stop.signal,
    onWrite: (all) => {
      if (all.includes('default/b')) stop.abort(new Error('interrupted'));
      else if (all.includes('default/a') && !isCut) {
        isCut = true;
        daemon.cut();
      }
    },
  });
  expect(result.exit).toBe(0);
  expect(result.stdout.trimEnd().split('\n')).toEqual([
    expect.stringContaining('default/a'),
    expect.stringContaining('default/b'),
  ]);
  expect(result.stderr).toBe(
    'flintlock: the daemon went away; looking for it for 60 s\nflintlock: the daemon is back; no change was missed\n',
  );
  expect(cursors).toEqual(['', 'e.2', 'e.2']);
});

test('a watch ends when the daemon stays away, or has forgotten what came meanwhile', async () => {
  const daemon = await startFakeDaemon({
    async *watchMicroVMs({ cursor }) {
      if (cursor !== '') throw new ConnectError('The cursor is too old', Code.OutOfRange);
      yield vmEvent('a', 'e.1');
      throw new ConnectError('The daemon is shutting down: try again', Code.Unavailable);
    },
  });
  const forgotten = await runCli(['--host', daemon.address, 'watch']);
  expect(forgotten).toMatchObject({ exit: 1, stderr: expect.stringContaining('Changes were missed') });
  const away = await runCli(['--host', daemon.address, 'watch', '--retry', '0']);
  expect(away).toMatchObject({ exit: 1, stderr: expect.stringContaining('shutting down') });
});

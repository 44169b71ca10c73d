import { spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Code, ConnectError } from '@connectrpc/connect';
import { expect, onTestFinished, test } from 'vitest';
import { FAKE_UID, fakeVm, startFakeDaemon } from '../../test/support/fake-daemon.ts';
import { runCli } from '../../test/support/run-cli.ts';
import { explain } from './errors.ts';
import { VERBS } from './verbs/index.ts';

const NOWHERE = 'unix:///nowhere/at/all.sock';

test('help goes to standard output and is success', async () => {
  const help = await runCli(['--help']);
  expect(help).toMatchObject({ exit: 0, stderr: '' });
  for (const { name } of VERBS) expect(help.stdout).toContain(name);
});

test.for(VERBS.map(({ name }) => name))('%s --help has examples and loads without a daemon', async (name) => {
  for (const argv of [
    [name, '--help'],
    ['help', name],
  ]) {
    const help = await runCli(['--host', NOWHERE, ...argv]);
    expect(help).toMatchObject({ exit: 0, stderr: '' });
    expect(help.stdout).toMatch(/Examples?:\n {2}.*flintlock/);
  }
});

test.for([
  { argv: [], says: 'Usage: flintlock' },
  { argv: ['lst'], says: 'Did you mean' },
  { argv: ['list', '--bogus'], says: "unknown option '--bogus'" },
  { argv: ['list', '--host', 'x'], says: 'global flags such as --host stand before the verb' },
  { argv: ['get'], says: "missing required argument 'vm'" },
  { argv: ['get', 'a', 'b'], says: 'too many arguments' },
  { argv: ['get', 'a/b/c'], says: 'names no microVM' },
  { argv: ['get', 'x', '-o', 'xml'], says: 'Allowed choices are json, yaml' },
  { argv: ['wait', 'x', '--for', 'godot'], says: 'Allowed choices are created, stopped, gone, address' },
  { argv: ['wait', 'x', '--timeout', 'soon'], says: 'Write for instance 500ms' },
  { argv: ['--host', 'http://x:1/', 'list'], says: 'no address of a daemon' },
  { argv: ['list', '-n', 'a', '-A'], says: 'cannot be used with' },
  { argv: ['create'], says: 'There is no spec: give a file, or a name and flags' },
  { argv: ['console', 'x', '--tail', '-1'], says: 'number of bytes' },
])('$argv is wrong usage', async ({ argv, says }) => {
  const result = await runCli(argv);
  expect(result).toMatchObject({ exit: 2, stdout: '' });
  expect(result.stderr).toContain(says);
});

test.for([['list'], ['get', 'a'], ['delete', 'a'], ['wait', 'a'], ['watch'], ['console', 'a'], ['info'], ['audit']])(
  '%s without a daemon says how to start one',
  async (argv) => {
    const result = await runCli(['--host', NOWHERE, ...argv]);
    expect(result).toMatchObject({ exit: 1, stdout: '' });
    expect(result.stderr).toContain(`No daemon answers at ${NOWHERE}: there is no such socket\n`);
    expect(result.stderr).toMatch(/sudo \S*flintlockd run --insecure --grpc-endpoint unix:\/\/\/nowhere/);
  },
);

test('a port where nobody listens is refused', async () => {
  const result = await runCli(['list'], { env: { FLINTLOCK_HOST: '127.0.0.1:1' } });
  expect(result.exit).toBe(1);
  expect(result.stderr).toMatch(/No daemon answers at 127\.0\.0\.1:1: connection refused\nStart one: sudo .*run/);
});

test('what speaks no gRPC is told apart from no daemon', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const at = server.address();
  const port = typeof at === 'object' && at ? at.port : 0;
  const result = await runCli(['--host', `127.0.0.1:${port}`, 'list']);
  expect(result.exit).toBe(1);
  expect(result.stderr).toContain(
    `No daemon answers at 127.0.0.1:${port}: what listens there does not speak plain gRPC`,
  );
});

test('--host stands over FLINTLOCK_HOST', async () => {
  const { address } = await startFakeDaemon({ listMicroVMs: () => ({ microvm: [fakeVm()] }) });
  const env = { FLINTLOCK_HOST: NOWHERE };
  expect((await runCli(['--host', address, 'list', '-o', 'name'], { env })).stdout).toBe('default/web\n');
});

test('Ctrl-C in a call that answers at once is one line', async () => {
  const stop = new AbortController();
  const { address } = await startFakeDaemon({
    listMicroVMs: () => {
      stop.abort(new Error('interrupted'));
      return new Promise(() => undefined);
    },
  });
  const result = await runCli(['--host', address, 'list'], { interrupt: stop.signal });
  expect(result).toEqual(expect.objectContaining({ exit: 1, stdout: '', stderr: 'flintlock: interrupted\n' }));
});

/** Runs the program itself, and closes its standard output after the first piece if asked to. */
async function spawnCli(argv: readonly string[], closeEarly = false) {
  const child = spawn(join(import.meta.dirname, '../../bin/flintlock'), argv, { stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data: Buffer) => {
    stdout += data.toString();
    if (closeEarly) child.stdout.destroy();
  });
  child.stderr.on('data', (data: Buffer) => {
    stderr += data.toString();
  });
  const exit = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { exit, stdout, stderr };
}

test('the program lists over a real socket', async () => {
  const { address } = await startFakeDaemon({ listMicroVMs: () => ({ microvm: [fakeVm()] }) });
  const result = await spawnCli(['--host', address, 'list', '-o', 'json']);
  expect(result).toMatchObject({ exit: 0, stderr: '' });
  expect(JSON.parse(result.stdout)[0].spec.uid).toBe(FAKE_UID);
});

test('the program ends quietly when its reader goes away', async () => {
  const many = Array.from({ length: 4_000 }, (_, i) => fakeVm({ id: `vm-${i}` }));
  const { address } = await startFakeDaemon({ listMicroVMs: () => ({ microvm: many }) });
  expect(await spawnCli(['--host', address, 'list'], true)).toMatchObject({ exit: 0, stderr: '' });
});

test('output that cannot be written is an error', async () => {
  const full = openSync('/dev/full', 'w');
  onTestFinished(() => closeSync(full));
  const program = join(import.meta.dirname, '../../bin/flintlock');
  const { status, stderr } = spawnSync(program, ['version'], { stdio: ['ignore', full, 'pipe'] });
  expect(status).toBe(1);
  expect(stderr.toString()).toContain('Cannot write the output: ENOSPC');
});

test('a socket that this user may not open is told apart', () => {
  // Root may open every socket, so the error is made here.
  const cause = Object.assign(new Error('connect EACCES'), { code: 'EACCES' });
  const problem = explain(new ConnectError('x', Code.Internal, undefined, undefined, cause), { socket: '/run/x.sock' });
  expect(problem.text()).toMatch(/permission denied\n.*sudo.*\n.*usermod -aG flintlock/);
});

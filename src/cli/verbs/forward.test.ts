import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { Code, ConnectError } from '@connectrpc/connect';
import { expect, onTestFinished, test, vi } from 'vitest';
import { fakeVm, startFakeDaemon } from '../../../test/support/fake-daemon.ts';
import { runCli } from '../../../test/support/run-cli.ts';

/** A guest that echoes on port 80, says its own first and hangs up on 90, is cut off on 70, gone on 99. */
async function guest() {
  const open = new Set<number>();
  const starts: object[] = [];
  const daemon = await startFakeDaemon(
    { getMicroVM: () => ({ microvm: fakeVm() }) },
    {},
    {},
    {
      async *forward(requests) {
        let port = 0;
        const id = starts.length;
        try {
          for await (const { payload } of requests) {
            if (payload.case === 'start') {
              starts.push(payload.value);
              port = payload.value.port;
              if (port === 81)
                throw new ConnectError('Cannot connect to port 81: nobody listens', Code.FailedPrecondition);
              if (port === 99) throw new ConnectError('microVM not found', Code.NotFound);
              open.add(id);
              yield { payload: { case: 'opened', value: {} } };
              if (port === 90) yield { payload: { case: 'data', value: Buffer.from('bye\n') } };
              if (port === 90) yield { payload: { case: 'dataEof', value: true } };
            } else if (payload.case === 'data') {
              if (port === 70) throw new ConnectError('The connection broke off', Code.Unavailable);
              if (port === 80) yield { payload: { case: 'data', value: payload.value } };
            }
          }
          if (port === 80) yield { payload: { case: 'data', value: Buffer.from('half closed') } };
          yield { payload: { case: 'dataEof', value: true } };
        } finally {
          open.delete(id);
        }
      },
    },
  );
  return { ...daemon, open, starts };
}

type Guest = Awaited<ReturnType<typeof guest>>;

/** Forwards until `use` has ended. */
async function forwarding(
  from: Guest,
  words: readonly string[],
  use: (ports: number[], ended: Promise<unknown>) => Promise<unknown>,
) {
  const stop = new AbortController();
  const said = Promise.withResolvers<string>();
  const running = runCli(['--host', from.address, 'forward', 'web', ...words], {
    interrupt: stop.signal,
    onWrite: (all) => said.resolve(all),
  });
  const lines = (await Promise.race([said.promise, running.then(({ stderr }) => stderr)])).trim().split('\n');
  const ports = lines.map((line) => Number(/:(\d+) ->/.exec(line)?.[1]));
  await use(ports, running).finally(() => stop.abort(new Error('interrupted')));
  return { ...(await running), lines };
}

function dial(port: number): Socket {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  onTestFinished(() => void socket.destroy());
  return socket;
}

async function all(socket: Socket): Promise<string> {
  const came: Buffer[] = [];
  socket.on('data', (piece: Buffer) => came.push(piece));
  await once(socket, 'end');
  return Buffer.concat(came).toString();
}

test('bytes go both ways, and each end by itself', async () => {
  const from = await guest();
  const { exit, lines, stderr } = await forwarding(from, ['0:80', '0:90'], async ([echo = 0, bye = 0]) => {
    const large = 'x'.repeat(3 << 20);
    const one = dial(echo);
    one.end(large); // before there is any connection
    expect(await all(one)).toBe(`${large}half closed`);
    const other = dial(bye);
    expect(await all(other)).toBe('bye\n');
    expect(from.open.size).toBe(1); // ours is not ended yet
    other.end();
    await vi.waitFor(() => expect(from.open.size).toBe(0));
  });
  expect([exit, stderr]).toEqual([0, '']);
  expect(lines[0]).toMatch(/^127\.0\.0\.1:\d+ -> default\/web 80$/);
  expect(from.starts).toMatchObject([{ port: 80, host: '', path: '' }, { port: 90 }]);
});

test('where nobody listens that connection is closed and told, and the next one is tried anew', async () => {
  const from = await guest();
  const { exit, stderr } = await forwarding(from, ['0:81', '0:80'], async ([closed = 0, echo = 0]) => {
    for (let i = 0; i < 3; i++) await expect(all(dial(closed))).rejects.toThrow('ECONNRESET');
    const one = dial(echo);
    one.end('x');
    expect(await all(one)).toBe('xhalf closed');
  });
  expect(exit).toBe(0);
  expect(stderr).toBe('flintlock: Cannot connect to port 81: nobody listens\n'); // once
});

test('what is cut off does not look whole', async () => {
  const from = await guest();
  const { stderr } = await forwarding(from, ['0:70'], async ([port = 0]) => {
    const socket = dial(port);
    socket.write('x');
    await expect(all(socket)).rejects.toThrow('ECONNRESET');
  });
  expect(stderr).toContain('broke off');
});

test('a client that goes away leaves nothing open, and Ctrl-C ends what is', async () => {
  const from = await guest();
  await forwarding(from, ['0:80'], async ([port = 0]) => {
    const gone = dial(port);
    await vi.waitFor(() => expect(from.open.size).toBe(1));
    gone.resetAndDestroy();
    await vi.waitFor(() => expect(from.open.size).toBe(0));
    dial(port).on('error', () => undefined);
    await vi.waitFor(() => expect(from.open.size).toBe(1));
  });
  await vi.waitFor(() => expect(from.open.size).toBe(0));
});

test('a daemon that was cut off is found again', async () => {
  const from = await guest();
  await forwarding(from, ['0:80'], async ([port = 0]) => {
    const cut = dial(port);
    await vi.waitFor(() => expect(from.open.size).toBe(1));
    from.cut();
    await expect(all(cut)).rejects.toThrow('ECONNRESET');
    const next = dial(port);
    next.end('again');
    expect(await all(next)).toBe('againhalf closed');
  });
});

test('it ends with the microVM', async () => {
  const from = await guest();
  const { exit, stderr } = await forwarding(from, ['0:99'], async ([port = 0], ended) => {
    await expect(all(dial(port))).rejects.toThrow('ECONNRESET');
    await ended;
  });
  expect([exit, stderr]).toEqual([3, expect.stringContaining('not found')]);
});

test('a port that is in use is told, and no other is kept', async () => {
  const from = await guest();
  const server = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const at = server.address();
  const port = typeof at === 'object' ? at?.port : 0;
  expect(await runCli(['--host', from.address, 'forward', 'web', '0:80', `${port}:80`])).toMatchObject({
    exit: 1,
    stderr: expect.stringContaining(`Cannot listen on 127.0.0.1:${port}: something listens there already`),
  });
});

test('--stdio connects standard input and output, until the server ends', async () => {
  const from = await guest();
  const run = (port: string) =>
    runCli(['--host', from.address, 'forward', '--stdio', '--to', '::1', 'web', port], { stdin: 'typed' });
  expect(await run('80')).toMatchObject({ exit: 0, stdout: 'typedhalf closed' });
  expect(from.starts).toMatchObject([{ host: '::1' }]);
  expect(await run('81')).toMatchObject({ exit: 1, stderr: expect.stringContaining('nobody listens') });
});

test('--stdio that is told to end, as ssh tells its ProxyCommand, says nothing', async () => {
  const from = await guest();
  const stop = new AbortController();
  async function* typed() {
    yield 'typed';
    await new Promise(() => undefined);
  }
  const result = await runCli(['--host', from.address, 'forward', '--stdio', 'web', '80'], {
    ...{ typed: typed(), interrupt: stop.signal },
    onWrite: () => stop.abort(new Error('interrupted')),
  });
  expect(result).toMatchObject({ exit: 0, stdout: 'typed', stderr: '' });
  await vi.waitFor(() => expect(from.open.size).toBe(0));
});

test.each([
  [['web'], /missing required argument 'ports'/],
  [['web', 'http'], /says no ports/],
  [['--to', 'web.lan', 'web', '80'], /is no IP address/],
  [['--stdio', 'web', '80', '81'], /takes one port/],
  [['--stdio', 'web', '80:80'], /is no port/],
])('%s is wrong usage', async (words, why) => {
  const { address } = await guest();
  expect(await runCli(['--host', address, 'forward', ...words])).toMatchObject({
    exit: 2,
    stderr: expect.stringMatching(why),
  });
});

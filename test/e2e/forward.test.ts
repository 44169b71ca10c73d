import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { demoSpec, poll, ROOT, startHost, type TestHost } from '../support/daemon.ts';

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function start(host: TestHost, argv: readonly string[], env: NodeJS.ProcessEnv = process.env): ChildProcess {
  const words = ['--host', `unix://${host.socket}`, ...argv];
  const child = spawn(`${ROOT}/bin/flintlock`, words, { stdio: ['pipe', 'pipe', 'pipe'], env });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

function outcome(child: ChildProcess): Promise<Ran> {
  let out = '';
  let err = '';
  child.stdout?.on('data', (data: Buffer) => {
    out += data.toString();
  });
  child.stderr?.on('data', (data: Buffer) => {
    err += data.toString();
  });
  return new Promise((done) => child.once('close', (code) => done({ code, out, err })));
}

async function run(host: TestHost, argv: readonly string[], env?: NodeJS.ProcessEnv): Promise<Ran> {
  const child = start(host, argv, env);
  child.stdin?.end();
  return outcome(child);
}

async function agentIn(host: TestHost, id: string): Promise<void> {
  await host.create(demoSpec(id));
  const { code, err } = await run(host, ['wait', id, '--for', 'agent', '--timeout', '90s']);
  if (code !== 0) throw new Error(err);
}

/** Begins a server in the guest, which outlives the exec. */
async function serve(host: TestHost, id: string, script: string): Promise<void> {
  expect(await run(host, ['exec', id, '--', 'sh', '-c', `${script} >/dev/null 2>&1 </dev/null &`])).toMatchObject({
    ...{ code: 0, err: '' },
  });
}

/** @returns the ports that were taken, and how it ends */
async function forwarding(host: TestHost, argv: readonly string[]) {
  const child = start(host, ['forward', ...argv]);
  const ended = outcome(child);
  const [first] = (await once(child.stdout ?? child, 'data')) as [Buffer];
  const ports = [...first.toString().matchAll(/:(\d+) ->/g)].map(([, port]) => Number(port));
  return { child, ended, ports };
}

function dial(port = 0): Socket {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  onTestFinished(() => void socket.destroy());
  return socket;
}

async function all(socket: Socket): Promise<string> {
  let came = '';
  socket.on('data', (piece: Buffer) => {
    came += piece.toString('latin1');
  });
  await once(socket, 'end');
  return came;
}

test('ports of a guest are reached from here, over its reboot and the daemon’s death', async (t) => {
  const host = await startHost(t);
  await agentIn(host, 'web');
  await serve(
    host,
    'web',
    'mkdir -p /tmp/www; echo hello >/tmp/www/index.html; exec httpd -f -p 127.0.0.1:80 -h /tmp/www',
  );
  await serve(host, 'web', 'exec nc -ll -p 7 -e cat');
  const { child, ended, ports } = await forwarding(host, ['web', '0:80', '0:7', '0:9']);
  const [http = 0, echo, closed] = ports;
  const page = () => fetch(`http://127.0.0.1:${http}/index.html`).then((response) => response.text());

  expect(await page()).toBe('hello\n');
  const large = Buffer.alloc(4 << 20, 'x').toString();
  const one = dial(echo);
  one.end(large);
  expect((await all(one)) === large).toBe(true);
  await expect(all(dial(closed))).rejects.toThrow('ECONNRESET');
  await serve(host, 'web', 'exec nc -ll -p 9 -e echo here now');
  await poll('the port is open by now', 20_000, async () => {
    const said = await all(dial(closed)).catch(String);
    return said === 'here now\n' ? { is: undefined } : { not: said };
  });

  expect(host.log).toMatch(/forward to microVM.* port=80 bytesIn=\d+ bytesOut=\d+ result=done/);
  expect((await run(host, ['forward', '--stdio', 'web', '9'])).out).toBe('here now\n');

  await host.kill9();
  await host.start();
  await poll('the next daemon forwards', 60_000, async () => {
    const said = await page().catch(String);
    return said === 'hello\n' ? { is: undefined } : { not: said };
  });
  expect((await run(host, ['reboot', 'web', '--timeout', '1s'])).code).toBe(0);
  await run(host, ['wait', 'web', '--for', 'agent', '--timeout', '90s']);
  await poll('the guest serves anew', 60_000, async () => {
    await run(host, ['exec', 'web', '--', 'sh', '-c', 'exec nc -ll -p 80 -e echo anew >/dev/null 2>&1 &']);
    const said = await all(dial(http)).catch(String);
    return said === 'anew\n' ? { is: undefined } : { not: said };
  });
  child.kill('SIGINT');
  const { code, err } = await ended;
  expect([code, err]).toEqual([0, expect.stringContaining('nobody listens there')]);
});

test('ssh goes to the guest’s own server, and its status is ours', async (t) => {
  const host = await startHost(t);
  await agentIn(host, 'web');
  const env = { ...process.env, HOME: host.directory };
  const without = await run(host, ['ssh', 'web'], env);
  expect([without.code, without.err]).toEqual([255, expect.stringContaining('nobody listens there')]);
  // No SSH server is in the demo guest: that ssh speaks to what listens there is seen by what it says of it.
  await serve(host, 'web', 'exec nc -ll -p 22 -e echo SSH-2.0-flint');
  await poll('the port is open', 20_000, async () => {
    const { out } = await run(host, ['forward', '--stdio', 'web', '22']);
    return out.startsWith('SSH-2.0') ? { is: undefined } : { not: out };
  });
  const { code, err } = await run(host, ['ssh', '-l', 'root', 'web', '--', '-v', 'true'], env);
  expect([code, err]).toEqual([255, expect.stringContaining('remote software version flint')]);
  const config = await run(host, ['ssh-config', 'web'], env);
  expect(config.out).toContain('Host web.default.flintlock\n');
});

test('top shows what guests use', async (t) => {
  const host = await startHost(t);
  await agentIn(host, 'web');
  await host.create(demoSpec('mute', { providerOptions: { agent: 'off' } }));
  await serve(host, 'web', 'exec sh -c "while :; do :; done"');
  const one = await poll('the busy program is seen', 30_000, async () => {
    const { code, out, err } = await run(host, ['top', 'web', '-o', 'json']);
    if (code !== 0) return { not: err };
    const found = JSON.parse(out) as {
      cpuPercent: number;
      statistics: { processes: { name: string; cpuTime: string }[] };
    };
    return found.statistics.processes[0]?.name === 'sh' && found.cpuPercent > 20 ? { is: found } : { not: out };
  });
  expect(Number.parseFloat(one.statistics.processes[0]?.cpuTime ?? '')).toBeGreaterThan(0.1);
  const { out } = await run(host, ['top', '--interval', '500ms']);
  expect(out).toMatch(/^NAME +CPU +OF/);
  expect(out).toMatch(/^default\/web +\d+\.\d% +1 +[\d.]+ MiB/m);
  expect(out).toMatch(/^default\/mute +-.*agent off/m);
});

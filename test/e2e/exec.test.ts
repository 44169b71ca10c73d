import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { expect, onTestFinished, test } from 'vitest';
import { makeImage } from '../../guest/make-image.ts';
import { MicroVMExec } from '../../src/gen/dropin/exec/microvmexec_pb.ts';
import { demoSpec, poll, ROOT, startHost, type TestHost } from '../support/daemon.ts';
import { leaveToProofs } from '../support/proofs.ts';

const DEBIAN = `${ROOT}/.cache/images/debian`;

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function start(host: TestHost, argv: readonly string[], terminal = false): ChildProcess {
  const words = [`${ROOT}/bin/flintlock`, '--host', `unix://${host.socket}`, ...argv];
  const [program = '', ...args] = terminal ? ['script', '-qefc', words.join(' '), '/dev/null'] : words;
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

function outcome(child: ChildProcess): Promise<Ran> {
  let out = '';
  let err = '';
  child.stdout?.on('data', (data: Buffer) => {
    out += data.toString('latin1');
  });
  child.stderr?.on('data', (data: Buffer) => {
    err += data.toString();
  });
  return new Promise((done) => child.once('close', (code) => done({ code, out, err })));
}

async function run(host: TestHost, argv: readonly string[], stdin = ''): Promise<Ran> {
  const child = start(host, argv);
  child.stdin?.end(stdin);
  return outcome(child);
}

/** As `get` says: the agent of a guest answers, or what is said instead. */
const untilAgent = (host: TestHost, uid: string, status: string): Promise<string> =>
  poll(`AgentReady of ${uid} is ${status}`, 90_000, async () => {
    const conditions = (await host.get(uid)).status?.conditions ?? [];
    const found = conditions.find(({ type }) => type === 'AgentReady');
    if (found?.status === status) return { is: found.message };
    return { not: `${found?.message}\n${(await host.console(uid)).slice(-1_000)}` };
  });

test('exec runs a program as if it ran here, and outlives the daemon’s death', async (t) => {
  const host = await startHost(t);
  const uid = (await host.create(demoSpec('web'))).spec?.uid ?? '';
  await untilAgent(host, uid, 'True');

  expect(await run(host, ['exec', 'web', '--', 'uname', '-n'])).toMatchObject({ code: 0, out: 'web\n', err: '' });
  expect(await run(host, ['exec', 'web', '--', 'sh', '-c', 'echo out; echo err >&2; exit 3'])).toEqual({
    ...{ code: 3, out: 'out\n', err: 'err\n' },
  });
  expect((await run(host, ['exec', 'web', '--', 'no-such-program'])).code).toBe(127);
  expect((await run(host, ['exec', '--timeout', '1s', 'web', '--', 'sleep', '60'])).code).toBe(143);
  const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 251)).toString('latin1');
  const child = start(host, ['exec', '-i', 'web', '--', 'cat']);
  child.stdin?.end(Buffer.from(bytes, 'latin1'));
  expect(await outcome(child)).toEqual({ code: 0, out: bytes, err: '' });

  // Far more than any window, or any message of gRPC's.
  const many = 8 << 20;
  const large = start(host, ['exec', '-i', 'web', '--', 'sh', '-c', 'wc -c >&2; head -c $0 /dev/zero', String(many)]);
  large.stdin?.end(Buffer.alloc(many));
  const { out, err } = await outcome(large);
  expect([out.length, err.trim()]).toEqual([many, String(many)]);

  const shell = start(host, ['exec', '-it', 'web'], true);
  const ended = outcome(shell);
  shell.stdin?.write('echo $((6 * 7)) $(tty)\rexit 5\r');
  expect(await ended).toMatchObject({ code: 5, out: expect.stringMatching(/42 \/dev\/pts\/\d/) });

  // The log says who ran what, and never the arguments.
  await run(host, ['exec', '--env', 'A=hidden', 'web', '--', 'echo', 'hidden']);
  const line = host.log.split('\n').findLast((text) => text.includes('exec in microVM'));
  expect(line).toMatch(/ program=echo exit=0 bytesIn=0 bytesOut=7 result=done/);
  expect(host.log).not.toContain('hidden');

  // The guest itself is the witness that it has not noticed: the same boot, and what was written stays.
  const witness = (): Promise<Ran> =>
    run(host, [
      'exec',
      'web',
      '--',
      'sh',
      '-c',
      'echo >>/root/count; wc -l </root/count; cat /proc/sys/kernel/random/boot_id',
    ]);
  const before = await witness();
  expect(before).toMatchObject({ code: 0, out: expect.stringMatching(/^1\n[0-9a-f-]{36}\n$/) });
  const cut = start(host, ['exec', '-i', 'web', '--', 'sh', '-c', 'echo begun; exec sleep 600']);
  const cutOff = outcome(cut);
  await new Promise((done) => cut.stdout?.once('data', done));
  await host.kill9();
  expect(await cutOff).toMatchObject({ code: 1, err: expect.stringContaining('flintlock:') });
  await host.start();
  await untilAgent(host, uid, 'True');
  expect(await witness()).toEqual({ ...before, out: before.out.replace(/^1/, '2') });
  await poll('what ran for the killed daemon is ended', 30_000, async () => {
    const { code, out, err } = await run(host, ['exec', 'web', '--', 'pidof', 'sleep']);
    return code === 1 ? { is: undefined } : { not: `${code}: ${out}${err}` };
  });
});

test('today’s clients run commands where a microVM lets them, and are told where it does not', async (t) => {
  const host = await startHost(t);
  const uid = (await host.create(demoSpec('web'))).spec?.uid ?? '';
  const closed = (await host.create(demoSpec('closed', { providerOptions: { agent: 'off' } }))).spec?.uid ?? '';
  const transport = createGrpcTransport({
    baseUrl: 'http://localhost',
    nodeOptions: { createConnection: () => connect(host.socket) },
  });
  const client = createClient(MicroVMExec, transport);
  const ask = async (whose: string, cmd: string): Promise<string> => {
    let said = '';
    async function* messages() {
      yield { payload: { case: 'start' as const, value: { uid: whose, cmd, shell: true, hasStdin: true } } };
      yield { payload: { case: 'stdin' as const, value: Buffer.from('typed') } };
      yield { payload: { case: 'stdinEof' as const, value: true } };
    }
    for await (const { payload } of client.execCommand(messages()))
      said += payload.case === 'exitCode' ? `=${payload.value}` : Buffer.from(payload.value ?? '').toString();
    return said;
  };
  await untilAgent(host, uid, 'True');
  expect(await ask(uid, 'cat; exit 9')).toBe('typed=9');
  await host.until(closed, 'CREATED');
  await expect(ask(closed, 'true')).rejects.toThrow('microvm was not created with guest agent access enabled');
  await expect(ask('01J000000000000000000000ZZ', 'true')).rejects.toThrow('not found');
});

test('an image without an init, and without anything but one program, runs commands too', async (t) => {
  const host = await startHost(t);
  const busybox = { mode: 0o755, content: readFileSync('/bin/busybox') };
  const files = { '/bin/sh': busybox, '/etc/passwd': 'app:x:1000:1000::/srv:/bin/sh\n' };
  const containerSource = makeImage({ layout: `${host.images}/hollow`, tag: 'v1', files });
  const volumes = [{ id: 'root', isRoot: true, source: { containerSource } }];
  const uid = (await host.create(demoSpec('hollow', { volumes }))).spec?.uid ?? '';
  await untilAgent(host, uid, 'True');
  const script = 'echo $USER $HOME $PATH; tty; exit 4';
  const shell = start(host, ['exec', '-t', '-u', 'app', 'hollow', '--', 'sh', '-c', `'${script}'`], true);
  const { code, out } = await outcome(shell);
  expect([code, out]).toEqual([4, expect.stringMatching(/app \/srv \S*\/usr\/bin\S*\s+\/dev\/pts\/\d/)]);
});

test.skipIf(!existsSync(`${DEBIAN}/index.json`))('a guest with systemd runs commands as its own users', async (t) => {
  // In `npm test` users are those of the image without an init.
  leaveToProofs(t);
  const host = await startHost(t);
  const root = { id: 'root', isRoot: true, sizeInMb: 1024, source: { containerSource: `oci:${DEBIAN}:latest` } };
  const uid = (await host.create(demoSpec('deb', { memoryInMb: 512, volumes: [root] }))).spec?.uid ?? '';
  await untilAgent(host, uid, 'True');
  const as = (...argv: readonly string[]) => run(host, ['exec', ...argv]);
  // The initrd of the demo kernel brings the agent, and it answers before systemd has begun.
  await poll('systemd is up', 240_000, async () => {
    const { out, err } = await as('deb', '--', 'systemctl', 'is-system-running', '--wait');
    return /running|degraded/.test(out) ? { is: undefined } : { not: out + err };
  });
  expect(await as('-u', 'nobody', 'deb', '--', 'sh', '-c', 'id -un; id -gn; cat')).toMatchObject({
    ...{ code: 0, out: 'nobody\nnogroup\n' },
  });
  expect(await as('-u', 'nobody', 'deb', '--', 'cat', '/etc/shadow')).toMatchObject({
    code: 1,
    err: expect.stringContaining('Permission denied'),
  });
  expect(await as('deb', '--', 'sh', '-c', 'echo $HOME; pwd')).toMatchObject({ code: 0, out: '/root\n/root\n' });
});

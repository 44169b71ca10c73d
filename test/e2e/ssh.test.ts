import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { demoSpec, poll, ROOT, startHost, type TestHost } from '../support/daemon.ts';
import { leaveToProofs } from '../support/proofs.ts';

const STOCK = `${ROOT}/.cache/images/stock-bookworm`;
/** systemd begins under software emulation, beside others. */
const BOOT_MS = 300_000;

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

async function run(host: TestHost, argv: readonly string[], stdin = ''): Promise<Ran> {
  const [program = '', ...args] = argv;
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, HOME: host.directory, FLINTLOCK_HOST: `unix://${host.socket}` },
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  child.stdin.end(stdin);
  let out = '';
  let err = '';
  child.stdout.on('data', (data: Buffer) => {
    out += data.toString();
  });
  child.stderr.on('data', (data: Buffer) => {
    err += data.toString();
  });
  return new Promise((done) => child.once('close', (code) => done({ code, out, err })));
}

const SERVER = `
mkdir -p /run/sshd /root/.ssh
chmod 0700 /root/.ssh
cat >/root/.ssh/authorized_keys
[ -e /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
/usr/sbin/sshd -o ListenAddress=127.0.0.1
`;

test('OpenSSH on both sides: a login, a copy, and a host key that has changed', { timeout: 900_000 }, async (t) => {
  leaveToProofs(t); // a whole Debian; forward.test has our side of it, by OpenSSH's client
  expect(existsSync(`${STOCK}/index.json`), 'npm run images stock-bookworm').toBe(true);
  const host = await startHost(t);
  const flintlock = `${ROOT}/bin/flintlock`;
  const root = { id: 'root', isRoot: true, sizeInMb: 1024, source: { containerSource: `oci:${STOCK}:latest` } };
  // Its own start-up is not waited for: the agent is there before it.
  const kernel = { ...demoSpec('deb').kernel, cmdline: 'quiet systemd.unit=emergency.target' };
  await host.create(demoSpec('deb', { memoryInMb: 512, volumes: [root], kernel, interfaces: [] }));
  const key = join(host.directory, 'key');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  await poll('there is an SSH server', BOOT_MS, async () => {
    const script = ['exec', '-i', 'deb', '--', 'sh', '-ec', SERVER];
    const { code, out, err } = await run(host, [flintlock, ...script], readFileSync(`${key}.pub`, 'utf8'));
    return code === 0 ? { is: undefined } : { not: out + err };
  });
  const ssh = (...words: readonly string[]) =>
    run(host, [flintlock, 'ssh', '-l', 'root', 'deb', '--', '-i', key, ...words], 'typed');

  const first = await ssh('id', '-un;', 'cat;', 'exit', '7');
  expect([first.code, first.out, first.err]).toEqual([7, 'root\ntyped', expect.stringContaining('Permanently added')]);
  expect(await ssh('true')).toEqual({ code: 0, out: '', err: '' });

  const config = await run(host, [flintlock, 'ssh-config', '-l', 'root', 'deb']);
  const file = join(host.directory, 'lab.conf');
  writeFileSync(file, `${config.out}  IdentityFile ${key}\n`);
  const bytes = Buffer.alloc(3 << 20, 'flintlock').toString();
  const source = join(host.directory, 'large');
  writeFileSync(source, bytes);
  const name = 'deb.default.flintlock';
  expect(await run(host, ['scp', '-q', '-F', file, source, `${name}:/tmp/large`])).toMatchObject({
    code: 0,
    err: '',
  });
  expect(await run(host, ['scp', '-q', '-F', file, `${name}:/tmp/large`, `${source}.back`])).toMatchObject({
    code: 0,
  });
  expect(readFileSync(`${source}.back`, 'utf8') === bytes).toBe(true);

  await run(host, [flintlock, 'exec', 'deb', '--', 'ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', '/root/other']);
  await run(host, [
    ...[flintlock, 'exec', 'deb', '--', 'sh', '-c'],
    'cp /root/other /etc/ssh/ssh_host_ed25519_key; kill -HUP $(cat /run/sshd.pid)',
  ]);
  await poll('the other key is met, and refused', 60_000, async () => {
    const { code, err } = await ssh('true');
    return code === 255 && err.includes('IDENTIFICATION HAS CHANGED') ? { is: undefined } : { not: `${code}: ${err}` };
  });
});

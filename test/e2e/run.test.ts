import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import type { MicroVM } from '../../src/gen/types/microvm_pb.ts';
import { ANY_KERNEL, DEMO_ROOT, poll, ROOT, startHost, type TestHost } from '../support/daemon.ts';
import { type TestImage, writeLayout } from '../support/oci-layout.ts';
import { leaveToProofs } from '../support/proofs.ts';
import type { TarEntry } from '../support/tar.ts';

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function flintlock(host: TestHost, argv: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ran> {
  const child = spawn(`${ROOT}/bin/flintlock`, ['--host', `unix://${host.socket}`, ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let out = '';
  let err = '';
  child.stdout.on('data', (data: Buffer) => {
    out += data.toString();
  });
  child.stderr.on('data', (data: Buffer) => {
    err += data.toString();
  });
  return new Promise((done) => child.once('close', (code) => done({ code, out: out.replaceAll('\r', ''), err })));
}

const run = (host: TestHost, name: string, image: string, ...words: readonly string[]): Promise<Ran> =>
  flintlock(host, ['run', '--name', name, '--memory', '96M', '--cmdline', 'quiet', image, ...words]);

async function named(host: TestHost, id: string): Promise<MicroVM> {
  const found = (await host.vms.listMicroVMs({})).microvm.find(({ spec }) => spec?.id === id);
  if (!found) throw new Error(`there is no microVM ${id}`);
  return found;
}

const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** As Docker builds it from nothing: busybox, its links, and whatever else; no init, no /etc but what is given. */
function image(config: object, files: Readonly<Record<string, string>> = {}): TestImage {
  const links = [
    'sh',
    'id',
    'pwd',
    'env',
    'cat',
    'echo',
    'sleep',
    'kill',
    'grep',
    'wc',
    'sort',
    'stat',
    'ulimit',
    'tr',
  ];
  const layer: TarEntry[] = [
    { name: 'bin/busybox', data: readFileSync('/bin/busybox'), mode: 0o755 },
    ...links.map((name): TarEntry => ({ name: `bin/${name}`, type: 'symlink', link: 'busybox' })),
    ...Object.entries(files).map(([name, data]): TarEntry => ({ name, data, mode: 0o755 })),
  ];
  return { layers: [layer], config: { Env: [PATH], ...config } };
}

/** As nginx has it: it does what is in a directory, and becomes what it is given. */
const NGINX = `#!/bin/sh
set -e
if [ "$1" = "nginx" ] || [ "$1" = "nginx-debug" ]; then
  for f in /docker-entrypoint.d/*; do [ -x "$f" ] && "$f"; done
fi
exec "$@"
`;
/** It answers SIGQUIT alone, as nginx ends in order. */
const SERVER = `#!/bin/sh
trap 'echo quit in order >/dev/stdout; exit 0' QUIT
trap 'echo terminated >/dev/stdout' TERM
echo "serving as $(id -u), $1 $2"
while :; do sleep 1 & wait $!; done
`;
/** As redis has it: it begins as root, gives its directory away, and becomes somebody else. */
const REDIS = `#!/bin/sh
set -e
if [ "\${1#-}" != "$1" ] || [ "\${1%.conf}" != "$1" ]; then set -- redis-server "$@"; fi
if [ "$1" = 'redis-server' ] && [ "$(id -u)" = '0' ]; then
  busybox chown redis .
  exec busybox su redis -s /bin/sh -c 'exec "$0" "$@"' -- "$0" "$@"
fi
exec "$@"
`;
const USERS = {
  'etc/passwd':
    'root:x:0:0:root:/root:/bin/sh\nredis:x:999:1000::/home/redis:/bin/sh\npostgres:x:998:997::/var/lib/postgresql:/bin/sh\n',
  'etc/group': 'root:x:0:\nredis:x:1000:\npostgres:x:997:\nssl-cert:x:101:postgres\n',
};

const LARGE = Array.from({ length: 10 }, (_, i) => `V${i}=${'x'.repeat(100_000)}`);

/** That `run` boots the demo kernel by itself is seen in attach.test.ts. */
const OF_ANY_KERNEL = { flags: ['--managed-network', '10.77.0.0/24', '--demo-kernel', ANY_KERNEL] };

async function withImages(host: TestHost): Promise<(tag: string) => string> {
  await writeLayout(`${host.images}/run`, {
    plain: image({ Cmd: ['sh'] }),
    nothing: image({ Env: null, Cmd: null, Entrypoint: null }),
    shell: image({ Entrypoint: ['/bin/sh', '-c', 'echo "shell form, $0"; echo to-err >&2; exit 7'] }),
    nginx: image(
      { Entrypoint: ['/docker-entrypoint.sh'], Cmd: ['nginx', '-g', 'daemon off;'], StopSignal: 'SIGQUIT' },
      {
        'docker-entrypoint.sh': NGINX,
        'docker-entrypoint.d/10-listen.sh': '#!/bin/sh\necho 10-listen.sh: done\n',
        'usr/sbin/nginx': SERVER,
      },
    ),
    redis: image(
      { Entrypoint: ['docker-entrypoint.sh'], Cmd: ['redis-server'], WorkingDir: '/data' },
      {
        ...USERS,
        'usr/local/bin/docker-entrypoint.sh': REDIS,
        'usr/local/bin/redis-server': '#!/bin/sh\necho "redis as $(id -u) in $(pwd) of $(stat -c %U .)"; exit 4\n',
      },
    ),
    postgres: image(
      {
        ...{ Env: [PATH, 'PGDATA=/var/lib/postgresql/data', 'LANG=en_US.utf8'], User: 'postgres' },
        ...{
          WorkingDir: '/made/for/it',
          Cmd: ['sh', '-c', 'echo "$(id -u) $(id -G) $PGDATA $(pwd) $HOME"; echo x >/dev/stdout'],
        },
      },
      USERS,
    ),
    nobody: image({ Cmd: ['sh'], User: 'nobody-knows' }),
    large: image({ Env: [PATH, ...LARGE], Cmd: ['sh', '-c', 'env | grep "^V" | wc -c'] }),
    larger: image({ Env: [PATH, `V=${'x'.repeat(1 << 20)}`], Cmd: ['sh', '-c', 'echo "not this"'] }),
  });
  return (tag) => `oci:${host.images}/run:${tag}`;
}

test('an image without an init runs what it says, and its exit status is ours', async (t) => {
  const host = await startHost(t, OF_ANY_KERNEL);
  const at = await withImages(host);
  const [plain, shell, redis] = await Promise.all([
    run(host, 'plain', at('plain'), '--', 'sh', '-c', 'echo "[$0 $1]"; id -u; pwd; ulimit -Hn; exit 3', 'a b', 'c'),
    run(host, 'shell', at('shell')),
    run(host, 'redis', at('redis')),
  ]);
  expect(plain.code, plain.out + plain.err).toBe(3);
  expect(plain.out).toContain('\n[a b c]\n0\n/\n524288\n');
  expect(shell.code, shell.out + shell.err).toBe(7);
  expect(shell.out).toMatch(/\nshell form, (\/bin\/)?sh\nto-err\n/);
  expect(redis.code, redis.out + redis.err).toBe(4);
  expect(redis.out).toContain('\nredis as 999 in /data of redis\n');

  // So it is in the status, whoever asks.
  const { status } = await named(host, 'redis');
  expect(status).toMatchObject({
    exitCode: 4,
    reason: 'GuestShutdown',
    message: expect.stringContaining('its program ended with exit status 4'),
  });
  expect((await flintlock(host, ['get', 'redis'])).out).toMatch(/^ *exit code +4$/m);
  expect(JSON.parse((await flintlock(host, ['get', 'shell', '-o', 'json'])).out)).toMatchObject({
    status: { exitCode: 7 },
  });

  const [killed, missing, nobody] = await Promise.all([
    run(host, 'killed', at('plain'), '--', 'sh', '-c', 'kill -9 $$'),
    run(host, 'missing', at('plain'), '--', 'no-such-program'),
    run(host, 'nobody', at('nobody')),
  ]);
  expect(killed.code, killed.out + killed.err).toBe(137);
  expect((await named(host, 'killed')).status?.message).toContain('by signal 9 (exit status 137)');
  expect(missing.code, missing.out + missing.err).toBe(127);
  expect(missing.out).toContain('no-such-program: command not found');
  expect(nobody.code, nobody.out + nobody.err).toBe(126);
  expect(nobody.out).toContain('no such user, or group: nobody-knows');
});

test('variables, user and directory are the image’s, changed by flags; a megabyte is delivered or told', async (t) => {
  const host = await startHost(t, OF_ANY_KERNEL);
  const at = await withImages(host);
  const changes = [
    '--env',
    'PGDATA=/x',
    '--env',
    'FROM_HERE',
    '--user',
    '0:101',
    '--workdir',
    '/tmp',
    '--entrypoint',
    'sh',
  ];
  // A runtime makes the directory that an image lacks, also where its root is read-only.
  const fixed = await host.create({
    ...{ id: 'fixed', vcpu: 1, memoryInMb: 96, kernel: { image: ANY_KERNEL, cmdline: 'quiet' } },
    initrd: { image: ANY_KERNEL },
    volumes: [{ id: 'root', isRoot: true, isReadOnly: true, source: { containerSource: at('postgres') } }],
  });
  const [postgres, changed, large, larger] = await Promise.all([
    run(host, 'postgres', at('postgres')),
    flintlock(
      host,
      [
        ...['run', '--name', 'changed', '--memory', '96M', '--cmdline', 'quiet', ...changes, at('postgres'), '--'],
        ...['-c', 'echo "$(id -u) $(id -g) $PGDATA $LANG $FROM_HERE $(pwd)"'],
      ],
      { FROM_HERE: 'here' },
    ),
    run(host, 'large', at('large')),
    run(host, 'larger', at('larger')),
  ]);
  expect(postgres.code, postgres.out + postgres.err).toBe(0);
  expect(postgres.out).toContain('\n998 997 101 /var/lib/postgresql/data /made/for/it /var/lib/postgresql\nx\n');
  await host.untilConsole(fixed.spec?.uid ?? '', /^998 997 101 \/var\/lib\/postgresql\/data \/made\/for\/it /);
  expect(changed.out).toContain('\n0 101 /x en_US.utf8 here /tmp\n');
  expect(changed.code).toBe(0);
  const shown = (await flintlock(host, ['get', 'changed'])).out;
  expect(shown).toMatch(/^ *environment +FROM_HERE, PGDATA$/m);
  expect(shown).toMatch(/^ *arguments +-c ".*"$/m);
  expect(large.code, large.out + large.err).toBe(0);
  expect(large.out).toContain('\n1000040\n');
  expect(larger.code, larger.out + larger.err).toBe(126);
  expect(larger.out).toContain('its Env holds a text of 1048578 bytes: at most 131071');
  expect(larger.out).not.toContain('not this\n');
  const images = (await named(host, 'larger')).status?.conditions.find(({ type }) => type === 'ImagesReady');
  expect(images?.message).toContain('cannot be used, and is not run: its Env holds a text of 1048578 bytes');
});

test('a server is asked to end by its own signal; exec begins as its image says', async (t) => {
  const host = await startHost(t, OF_ANY_KERNEL);
  const at = await withImages(host);
  const spec = (id: string, root: string, change: object = {}) => ({
    ...{ id, vcpu: 1, memoryInMb: 96, kernel: { image: ANY_KERNEL, cmdline: 'quiet' } },
    initrd: { image: ANY_KERNEL },
    volumes: [{ id: 'root', isRoot: true, source: { containerSource: root } }],
    ...change,
  });
  const uidOf = async (given: object): Promise<string> => (await host.create(given)).spec?.uid ?? '';
  const nginx = await uidOf(spec('nginx', at('nginx')));
  // The demo root has an init of its own: it goes before that, for it is asked for.
  const process = { args: ['sh', '-c', 'echo "instead of init, $A"; exec sleep 600'], environment: { A: '1' } };
  const asked = await uidOf(spec('asked', DEMO_ROOT, { process: { ...process, user: '65534', directory: '/srv/x' } }));
  const nothing = await uidOf(spec('nothing', at('nothing')));

  await host.untilConsole(nginx, /^serving as 0, -g daemon off;/);
  expect((await flintlock(host, ['stop', 'nginx'])).code).toBe(0);
  expect(await host.console(nginx)).toMatch(/10-listen\.sh: done\s+serving[\s\S]*quit in order/);
  expect((await host.get(nginx)).status).toMatchObject({ reason: 'Stopped' });
  expect((await host.get(nginx)).status?.exitCode).toBeUndefined();

  await host.untilConsole(asked, /^instead of init, 1/);
  const ready = async (name: string) =>
    await poll(`the agent of ${name} answers`, 90_000, async () => {
      const { code, err } = await flintlock(host, ['exec', name, '--', 'sh', '-c', ':']);
      return code === 0 ? { is: undefined } : { not: err };
    });
  await ready('asked');
  const look = ['sh', '-c', 'echo $(id -u) $A $(pwd)'];
  expect(await flintlock(host, ['exec', 'asked', '--', ...look])).toMatchObject({ code: 0, out: '65534 1 /srv/x\n' });
  const root = ['exec', '--user', 'root', '--env', 'A=2', '--workdir', '/', 'asked', '--', ...look];
  expect(await flintlock(host, root)).toMatchObject({ code: 0, out: '0 2 /\n' });

  // An image that says nothing is as ever: a shell on the console.
  await host.untilConsole(nothing, /^flintlock-guest: up /);
  await ready('nothing');
  expect((await host.get(nothing)).status?.exitCode).toBeUndefined();
  expect((await flintlock(host, ['delete', 'nothing', 'asked', 'nginx', '--wait'])).code).toBe(0);
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
});

test('a program that failed is begun again where its spec says so', async (t) => {
  leaveToProofs(t); // restarts.test.ts, and the restart policy's own tests
  const host = await startHost(t, OF_ANY_KERNEL);
  const at = await withImages(host);
  const uid =
    (
      await host.create({
        ...{ id: 'again', vcpu: 1, memoryInMb: 96, kernel: { image: ANY_KERNEL, cmdline: 'quiet' } },
        initrd: { image: ANY_KERNEL },
        volumes: [{ id: 'root', isRoot: true, source: { containerSource: at('plain') } }],
        process: { args: ['sh', '-c', 'test -e /been || { echo first >/been; exit 1; }; echo second; exit 0'] },
      })
    ).spec?.uid ?? '';
  const status = await poll('it is over', 120_000, async () => {
    const { status: now } = await host.get(uid);
    return now?.reason === 'GuestShutdown' && now.exitCode === 0 ? { is: now } : { not: now?.message ?? '' };
  });
  expect(status.message).toContain('its program ended with exit status 0');
  expect(await host.console(uid)).toMatch(/second\r?\n/);
});

import { execFileSync, spawnSync } from 'node:child_process';
import {
  accessSync,
  appendFileSync,
  chmodSync,
  constants,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ConnectError } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { demoSpec, poll, ROOT, type SpecInit, startHost, type TestHost } from '../support/daemon.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const PORTS = [{ hostPort: 8080, guestPort: 80, protocol: 'tcp' }];

/** Programs that the daemon starts, by the doctor's list and more. */
const TOOLS = [
  ...['bsdtar', 'chroot', 'cp', 'dd', 'dhcp_release', 'dnsmasq', 'fallocate', 'ip', 'mcopy', 'mke2fs', 'mkfs.ext4'],
  ...['mkfs.fat', 'mkfs.vfat', 'mknod', 'nft', 'qemu-system-x86_64', 'resize2fs', 'setpriv', 'sfdisk'],
  ...['skopeo', 'ss', 'systemd-notify', 'tar', 'truncate', 'umoci', 'unshare'],
];

/** A PATH whose programs write down how they are called, and with which environment, before they become the real ones. */
function recordingPath(directory: string, record: string): string {
  const search = (process.env.PATH ?? '').split(':');
  mkdirSync(directory);
  for (const tool of TOOLS) {
    const real = search.map((one) => join(one, tool)).find(isProgram);
    if (real === undefined) continue;
    const script = `#!/bin/sh\n{ printf '%s ' called ${tool} "$@"; echo; env; } >>${record}\nexec ${real} "$@"\n`;
    writeFileSync(join(directory, tool), script, { mode: 0o755 });
  }
  return [directory, ...search].join(':');
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Everything below, with the directory itself. */
function* walk(path: string): Generator<string> {
  yield path;
  if (lstatSync(path).isDirectory()) for (const name of readdirSync(path)) yield* walk(join(path, name));
}

/** What another user of the host can read there, by the kernel's own answer. */
function readableFor(user: number, ...roots: readonly string[]): string[] {
  const who = ['--reuid', String(user), '--regid', String(user), '--clear-groups', '--'];
  const { stdout } = spawnSync('setpriv', [...who, 'find', ...roots, '-readable'], { encoding: 'utf8' });
  return stdout.split('\n').filter((line) => line !== '');
}

const withNetwork = (id: string, secret: string): SpecInit =>
  demoSpec(id, {
    metadata: { 'user-data': base64(secret) },
    interfaces: [{ guestDeviceName: 'eth0', type: 1, allowMetadataReq: true, publishedPorts: PORTS }],
  } as SpecInit);
/** Without a way to ask: its metadata is on a disk. */
const alone = (id: string, secret: string): SpecInit =>
  demoSpec(id, { metadata: { 'user-data': base64(secret) }, interfaces: [] });

/** Of a path of the daemon's with an owner or mode that it should not have: which. */
function wrongOf(host: TestHost, path: string): string[] {
  const info = lstatSync(path);
  const { mode, uid, gid } = info;
  const bits = mode & 0o7777;
  const network = join(host.run, 'network');
  const isRoots = uid === 0 && gid === 0;
  const isRight = (): boolean => {
    // The files of an image are as it says, behind a directory that nobody but root enters.
    if (path.startsWith(join(host.state, 'images/trees/'))) return true;
    // Root's sockets are there, and a name leads no further than its own mode.
    if (path === host.run) return isRoots && bits === 0o711;
    if (path === host.socket) return uid === 0 && bits === 0o660;
    // What the DHCP server reads, as nobody; what it writes is its own.
    if (path === network || path.startsWith(`${network}/`))
      return (bits & 0o022) === 0 && (isRoots || (uid === 65_534 && info.isFile()));
    return isRoots && (bits & 0o077) === 0;
  };
  return isRight() ? [] : [`${path} ${bits.toString(8)} ${uid}:${gid}`];
}

/** For other users the way to it is open: what stops them is the daemon's doing. */
const openUp = async (host: TestHost): Promise<void> => chmodSync(host.directory, 0o711);

test('state, disks, sockets and what is in them are root’s alone, and what others can read is public', async (t) => {
  const host = await startHost(t, { prepare: openUp });
  const secrets = ['marker-one-0815', 'marker-two-0815'];
  const [one, two] = await Promise.all([
    host.create(withNetwork('one', secrets[0] ?? '')),
    host.create(alone('two', secrets[1] ?? '')),
  ]);
  const uids = [one, two].map((vm) => vm.spec?.uid ?? '');
  for (const uid of uids) await host.until(uid, 'CREATED');

  const wrong = [...walk(host.state), ...walk(host.run)].flatMap((path) => wrongOf(host, path));
  expect(wrong).toEqual([]);

  // A stranger, and each VMM, which a guest may have taken over.
  const users = uids.map((uid) => {
    const [pid] = host.vmms(uid);
    return Number(/^Uid:\t\d+\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  });
  expect(new Set(users).size).toBe(2);
  expect(users.every((user) => user >= 1_000)).toBe(true);
  for (const user of [...users, 64_999]) {
    const readable = readableFor(user, host.state, host.run);
    expect(readable.filter((path) => !path.startsWith(join(host.run, 'network')))).toEqual([]);
    for (const path of readable.filter((one) => lstatSync(one).isFile()))
      for (const secret of secrets) expect(readFileSync(path, 'utf8')).not.toContain(secret);
  }
  // So it can be found: who looks as root does.
  expect(execFileSync('grep', ['-r', '-l', '-a', secrets[1] ?? '', host.state], { encoding: 'utf8' })).toContain(
    host.state,
  );
});

test('tokens, metadata and registry credentials are in no log, no error, no argument and no environment', async (t) => {
  const markers = {
    token: 'tok3n-marker-0815',
    user: 'us3r-marker-0815',
    password: 'passw0rd-marker-0815',
    metadata: 'd4ta-marker-0815',
  };
  const said: string[] = [];
  let record = '';
  const registry = '127.0.0.1:5001';
  const host = await startHost(t, {
    flags: [
      ...['--managed-network', '10.77.0.0/24', '--http-endpoint', '127.0.0.1:8090', '--insecure', '--verbosity', '2'],
      ...['--insecure-registry', registry],
    ],
    env: { FLINTLOCKD_BASIC_AUTH_TOKEN: markers.token },
    prepare: async (host) => {
      await openUp(host);
      record = join(host.directory, 'record');
      const auth = { auths: { [registry]: { auth: base64(`${markers.user}:${markers.password}`) } } };
      const file = join(host.directory, 'auth.json');
      writeFileSync(file, JSON.stringify(auth), { mode: 0o600 });
      appendFileSync(record, '');
      const path = recordingPath(join(host.directory, 'bin'), record);
      host.env = { PATH: path, FLINTLOCKD_REGISTRY_AUTH_FILE: file };
    },
  });
  const server = host.spawnInside(process.execPath, join(ROOT, 'test/stand-ins/registry.ts'), ROOT, '5001');
  t.onTestFinished(() => void server.kill('SIGKILL'));
  const ask = async (path: string, ...more: readonly string[]): Promise<string> =>
    host.tool('curl', '--silent', '--show-error', '--max-time', '20', ...more, `http://${path}`);
  await poll('the registry answers', 20_000, async () => {
    const { code, stderr } = await host.tryInside('curl', '--silent', `http://${registry}/v2/`);
    return code === 0 ? { is: true } : { not: stderr };
  });

  const failed = async (spec: SpecInit): Promise<string> =>
    host.create(spec).then(
      () => 'no error',
      (error: unknown) => JSON.stringify([ConnectError.from(error).message, ConnectError.from(error).details]),
    );
  const uid = (await host.create(withNetwork('one', markers.metadata))).spec?.uid ?? '';
  const other = (await host.create(alone('two', markers.metadata))).spec?.uid ?? '';
  for (const one of [uid, other]) await host.until(one, 'CREATED');
  // Callers with and without the token, and one who mistypes it.
  const bearer = (token: string): readonly string[] => ['--header', `authorization: Bearer ${token}`];
  const api = '127.0.0.1:8090/v1/namespaces/default/microvms';
  expect(await ask(api, ...bearer(markers.token))).toContain(uid);
  said.push(await ask(api, ...bearer(`${markers.token}x`)), await ask(api));
  expect(said.join()).toMatch(/not known here.*A token is needed/);
  // What is refused: by the registry, which was shown the credentials; and for what it says.
  const volumes = (image: string): SpecInit['volumes'] => [
    { id: 'root', isRoot: true, source: { containerSource: image } },
  ];
  const refused = await host.create({
    ...alone('login', markers.metadata),
    volumes: volumes(`${registry}/login/x:v1`),
  } as SpecInit);
  const { message } = await poll('the registry has refused', 60_000, async () => {
    const { status } = await host.get(refused.spec?.uid ?? '');
    return status?.reason === 'ImagePullFailed' ? { is: status } : { not: `${status?.reason} ${status?.message}` };
  });
  said.push(message, host.log);
  said.push(await failed({ ...alone('bad', markers.metadata), memoryInMb: 1 } as SpecInit));
  said.push(
    await failed({ ...alone('raw', ''), metadata: { 'user-data': `${markers.metadata} is no base64` } } as SpecInit),
  );
  said.push(await failed({ ...alone('name', ''), metadata: { 'a/../b c': base64(markers.metadata) } } as SpecInit));
  const credentials = `${markers.user}:${markers.password}@${registry}/ok/x:v1`;
  said.push(await failed({ ...alone('url', markers.metadata), volumes: volumes(credentials) } as SpecInit));
  expect(said.filter((text) => text.includes('no error'))).toEqual([]);

  // What was started, as it was started; and what runs, as it is now.
  const called = readFileSync(record, 'utf8');
  for (const tool of ['qemu-system-x86_64', 'skopeo', 'setpriv', 'ip', 'mcopy'])
    expect(called).toContain(`called ${tool} `);
  expect(called).toContain('--authfile');
  const children = host.processes().filter(({ argv }) => !argv.some((word) => word.endsWith('registry.ts')));
  expect(children.length).toBeGreaterThan(2);
  const running = children.flatMap(({ pid, argv }) => [argv.join(' '), readFileSync(`/proc/${pid}/environ`, 'utf8')]);
  const logs = [uid, other].map((one) => readFileSync(join(host.state, 'vm', one, 'vmm.log'), 'utf8'));
  const forOthers = readableFor(64_999, host.directory, host.state, host.run)
    .filter((path) => lstatSync(path).isFile())
    .map((path) => `${path}: ${readFileSync(path, 'latin1')}`);
  await host.stop();
  const places = { said, log: [host.log], called: [called], running, logs, forOthers };
  for (const [place, texts] of Object.entries(places))
    for (const marker of Object.values(markers))
      for (const shape of [marker, base64(marker), base64(`${markers.user}:${markers.password}`)])
        for (const text of texts) {
          const at = text.indexOf(shape);
          const around = at < 0 ? '' : text.slice(Math.max(0, at - 200), at + 100);
          expect({ place, shape, around }).toEqual({ place, shape, around: '' });
        }
});

import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { reportIn } from '../domain/guest-report.ts';
import { vendorScript } from './vendor-script.ts';

const LO = '00:00:00:00:00:00';

/**
 * Runs it as cloud-init would, with a directory in the place of /etc, /run and so on.
 * @param files - by their path there; `-> TO` is a link
 * @returns that directory
 */
function ran(args: Parameters<typeof vendorScript>, files: Readonly<Record<string, string>> = {}): string {
  const at = mkdtempSync(join(tmpdir(), 'flt-script-'));
  onTestFinished(() => rmSync(at, { recursive: true }));
  mkdirSync(join(at, 'etc'));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(at, path)), { recursive: true });
    if (content.startsWith('-> ')) symlinkSync(content.slice(3), join(at, path));
    else writeFileSync(join(at, path), content);
  }
  const script = vendorScript(...args)
    .replaceAll('/dev/console', join(at, 'console'))
    .replaceAll('sleep 1', ':')
    .replaceAll('sleep 20', 'rm "$AGAIN"') // as often as there is such a file; the watch that it starts itself has none
    .replaceAll('ip monitor link address', `cat ${at}/events`)
    .replaceAll(/(?<![\w.])(?=\/(?:etc|run|proc\/cmdline|var\/lib\/cloud)\b)/g, at);
  writeFileSync(join(at, 'script'), script);
  execFileSync('/bin/sh', ['-eu', join(at, 'script')]);
  execFileSync(join(at, PER_BOOT));
  return at;
}
const PER_BOOT = 'var/lib/cloud/scripts/per-boot/flintlock-configured';

/** What it says on this host, whose interface `lo` and mounts it looks at. */
const said = (...args: Parameters<typeof vendorScript>): string => readFileSync(join(ran(args), 'console'), 'utf8');

test('what is in place is said to be, and what is not failed', () => {
  const nics = [
    { name: 'lo', mac: LO, fixed: { address: '127.0.0.1/8', dns: [] } },
    { name: 'lo', mac: LO },
    { name: 'lo', mac: LO, fixed: { address: '127.0.0.1/16', dns: [] } },
    { name: 'lo', mac: '02:00:00:00:00:01' },
    { name: 'nothere0', mac: LO },
  ];
  const mounts = [
    { path: "/it's \\n $(id) `id`", device: 'vdz', isReadOnly: false },
    { path: '/', device: 'null', isReadOnly: true },
  ];
  expect(said(nics, mounts)).toBe(
    'flintlock-guest: configured nics=lo:127.0.0.1/8,lo:dhcp,lo:failed,lo:failed,nothere0:failed ' +
      'mounts=/it%27s%20%5Cn%20%24%28id%29%20%60id%60:failed,/:failed\n',
  );
});

test('the daemon understands what it says', () => {
  const nics = [{ name: 'lo', mac: LO, fixed: { address: '127.0.0.1/8', dns: [] } }];
  expect(reportIn(said(nics, []), { nics, mounts: [], hasMetadata: true })?.status).toBe('True');
  const mounts = [{ path: '/a b', device: 'vdz', isReadOnly: false }];
  expect(reportIn(said([], mounts), { nics: [], mounts, hasMetadata: true })).toMatchObject({ status: 'False' });
});

test('a mount is in place where its path lies on its device', () => {
  // A file system of any device, whose number a device of that number would have.
  const at = mkdtempSync(join(tmpdir(), 'flt-device-'));
  onTestFinished(() => rmSync(at, { recursive: true }));
  const [major = '', minor = ''] = execFileSync('mountpoint', ['-d', '/'], { encoding: 'utf8' }).trim().split(':');
  execFileSync('mknod', [join(at, 'vdb'), 'b', major, minor]);
  const script = (path: string) => said([], [{ path, device: `..${at}/vdb`, isReadOnly: true }]);
  expect(script('/')).toBe('flintlock-guest: configured nics=none mounts=/:ro\n');
  expect(script('/proc')).toBe('flintlock-guest: configured nics=none mounts=/proc:failed\n');
});

test('what no longer holds is taken back, and what has not changed is not said again', () => {
  const at = ran([[{ name: 'lo', mac: LO, fixed: { address: '127.0.0.1/8', dns: [] } }], []]);
  const console = join(at, 'console');
  const now = 'flintlock-guest: configured nics=lo:127.0.0.1/8 mounts=none';
  expect(readFileSync(console, 'utf8')).toBe(`${now}\n`);
  writeFileSync(console, '');
  writeFileSync(join(at, 'events'), 'one\nanother\n');
  const watch = (before: string): string => {
    execFileSync(join(at, PER_BOOT), ['watch', before], { timeout: 60_000 });
    return readFileSync(console, 'utf8');
  };
  expect(watch(now)).toBe('');
  expect(watch('flintlock-guest: configured nics=lo:failed mounts=none')).toBe(`${now}\n`);
});

test('where nobody tells of changes it looks from time to time', () => {
  const at = ran([[{ name: 'lo', mac: LO, fixed: { address: '127.0.0.1/8', dns: [] } }], []]);
  const console = join(at, 'console');
  const line = (state: string): string => `flintlock-guest: configured nics=lo:${state} mounts=none`;
  writeFileSync(join(at, 'again'), '');
  // The address has gone, and comes back after the first look.
  const ip = `#!/bin/sh\n[ ! -e ${at}/looked ] || echo '1: lo inet 127.0.0.1/8 scope host lo'\n: >${at}/looked\n`;
  writeFileSync(join(at, 'ip'), ip, { mode: 0o755 });
  const env = { ...process.env, PATH: `${at}:${process.env.PATH}`, AGAIN: join(at, 'again') };
  execFileSync(join(at, PER_BOOT), ['watch', line('127.0.0.1/8')], { timeout: 60_000, env });
  // Of a file in the console's place the last line is left.
  expect(readFileSync(console, 'utf8')).toBe(`${line('127.0.0.1/8')}\n`);
});

test('a static address has its way out, where nobody has made one', () => {
  const at = mkdtempSync(join(tmpdir(), 'flt-ip-'));
  onTestFinished(() => rmSync(at, { recursive: true }));
  const asked = (before: string): string => {
    writeFileSync(join(at, 'default'), before);
    writeFileSync(join(at, 'asked'), '');
    const ip = `#!/bin/sh\n[ "$3" != show ] || exec cat ${at}/default\necho "$*" >>${at}/asked\necho there >${at}/default\n`;
    writeFileSync(join(at, 'ip'), ip, { mode: 0o755 });
    const fixed = { address: '10.0.0.2/24', gateway: '10.0.0.1', dns: [] };
    const nics = [
      { name: 'lan0', mac: LO, fixed },
      { name: 'lan1', mac: LO, fixed: { ...fixed, gateway: '10.0.1.1' } },
      { name: 'eth0', mac: LO },
    ];
    const { PATH = '' } = process.env;
    process.env.PATH = `${at}:${PATH}`;
    try {
      ran([nics, []]);
    } finally {
      process.env.PATH = PATH;
    }
    return readFileSync(join(at, 'asked'), 'utf8');
  };
  expect(asked('')).toBe('-4 route add default via 10.0.0.1 dev lan0 metric 4096\n');
  expect(asked('default via 10.0.0.9 dev eth0\n')).toBe('');
});

test('the name servers of a static address go before those of the image, where nobody else writes them', () => {
  const fixed = { address: '10.0.0.2/24', dns: ['10.0.0.1', '10.0.0.3'] };
  const nics = [{ name: 'a', mac: LO, fixed }];
  const BUILT = 'search example\nnameserver 192.0.2.53\n';
  const after = (files: Readonly<Record<string, string>>, ours = nics) =>
    readFileSync(join(ran([ours, []], { '/etc/resolv.conf': BUILT, ...files }), 'etc/resolv.conf'), 'utf8');
  expect(after({})).toBe(`nameserver 10.0.0.1\nnameserver 10.0.0.3\n${BUILT}`);
  const some = 'nameserver 10.0.0.3\n';
  expect(after({ '/etc/resolv.conf': some })).toBe(`nameserver 10.0.0.1\n${some}`);
  expect(after({}, [])).toBe(BUILT);
  expect(after({ '/run/NetworkManager/x': '' })).toBe(BUILT);
  expect(after({ '/run/systemd/resolve/stub-resolv.conf': '' })).toBe(BUILT);
  expect(after({ '/etc/resolv.conf': '-> written', '/etc/written': BUILT })).toBe(BUILT);
});

test('name servers that only the build of an image could ask count as none', () => {
  const nics = [{ name: 'a', mac: LO, fixed: { address: '10.0.0.2/24', dns: ['10.0.0.1'] } }];
  const after = (built: string, files: Readonly<Record<string, string>> = {}) => {
    const at = ran([nics, []], { '/etc/resolv.conf': built, ...files });
    return readFileSync(join(at, 'etc/resolv.conf'), 'utf8')
      .split('\n')
      .filter((line) => line !== '');
  };
  const run = { '/run/NetworkManager/x': '' }; // else the static ones are put before others in any case
  expect(after('nameserver 127.0.0.11\n', run)).toContain('nameserver 10.0.0.1');
  expect(after('nameserver 127.0.0.53\n', run)).toContain('nameserver 10.0.0.1');
  expect(after('nameserver 192.0.2.53\nnameserver 127.0.0.11\n', run)).not.toContain('nameserver 10.0.0.1');
});

const ID = '0123456789abcdef0123456789abcdef';
const read = (at: string, path: string): string => readFileSync(join(at, path), 'utf8');
const NAME = execFileSync('uname', ['-n'], { encoding: 'utf8' }).trim();

test('where nothing is asked nothing is said, and what a runtime would is supplied', () => {
  const at = ran([[{ name: 'eth0', mac: LO }], []], { '/proc/cmdline': `quiet systemd.machine_id=${ID} x` });
  expect(existsSync(join(at, 'console'))).toBe(false);
  expect(read(at, '/etc/machine-id')).toBe(`${ID}\n`);
  expect(read(at, '/etc/hosts')).toMatch(/^127\.0\.0\.1 localhost$/m);
  expect(read(at, '/etc/hosts').match(new RegExp(`^127\\.0\\.1\\.1 ${NAME}\\b`, 'gm'))).toHaveLength(1);
  expect(existsSync(join(at, '/etc/resolv.conf'))).toBe(false);
});

test('what the image sets is left alone', () => {
  const files = {
    '/etc/hosts': `192.0.2.1 a ${NAME} localhost`,
    '/etc/resolv.conf': 'nameserver 192.0.2.53\n',
    '/etc/machine-id': 'of systemd\n',
    '/run/systemd/system/x': '',
    '/run/systemd/resolve/stub-resolv.conf': 'nameserver 127.0.0.53\n',
    '/proc/cmdline': `systemd.machine_id=${ID}`,
  };
  const at = ran([[], []], files);
  for (const [path, content] of Object.entries(files)) expect(read(at, path)).toBe(content);
});

test.each([
  ['is empty', { '/etc/resolv.conf': '# by nobody\n' }],
  ['is not there', {}],
  ['leads nowhere', { '/etc/resolv.conf': '-> /no/where/resolv.conf' }],
])('name servers are those of systemd-resolved, of the spec, or of DHCP, where the file %s', (_, files) => {
  const fixed = { address: '10.0.0.2/24', dns: ['10.0.0.1', '10.0.0.3'] };
  const nics = [
    { name: 'a', mac: LO, fixed },
    { name: 'b', mac: LO, fixed: { ...fixed, dns: ['10.0.0.1'] } },
  ];
  const resolved = ran([nics, []], { ...files, '/run/systemd/resolve/stub-resolv.conf': 'nameserver 127.0.0.53\n' });
  expect(readlinkSync(join(resolved, '/etc/resolv.conf'))).toBe('../run/systemd/resolve/stub-resolv.conf');
  expect(read(ran([nics, []], files), '/etc/resolv.conf')).toMatch(
    /^(#.*\n)?nameserver 10\.0\.0\.1\nnameserver 10\.0\.0\.3\n$/,
  );
  const lease = { '/run/systemd/netif/leases/2': 'ADDRESS=10.0.0.9\nDNS=10.0.0.7 10.0.0.8\n' };
  expect(read(ran([[], []], { ...files, ...lease }), '/etc/resolv.conf')).toContain(
    'nameserver 10.0.0.7\nnameserver 10.0.0.8\n',
  );
});

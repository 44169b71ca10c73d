import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { guestWords } from '../src/domain/guest-words.ts';

const HELPER = join(import.meta.dirname, 'tree/sbin/flintlock-init');

/** What it understands of words, a line each; without touching anything. */
const understood = (...words: readonly string[]): readonly string[] =>
  execFileSync('busybox', ['sh', HELPER, 'show', ...words], { encoding: 'utf8' })
    .trimEnd()
    .split('\n');

test('an interface: name, static address, gateway, name servers; what is not given is a dash', () => {
  expect(
    understood(
      'quiet',
      'flintlock.nic=52:54:00:AB:cd:01,web0',
      'flintlock.nic=52:54:00:00:00:02,eth0,10.0.0.2/24',
      'flintlock.nic=52:54:00:00:00:03,eth1,10.0.0.2/24,10.0.0.1,1.1.1.1,9.9.9.9',
      'flintlock.nic=52:54:00:00:00:04,a23456789012345,10.0.0.2/24,,1.1.1.1',
    ),
  ).toEqual([
    'nic 52:54:00:ab:cd:01 web0 - - -',
    'nic 52:54:00:00:00:02 eth0 10.0.0.2/24 - -',
    'nic 52:54:00:00:00:03 eth1 10.0.0.2/24 10.0.0.1 1.1.1.1,9.9.9.9',
    'nic 52:54:00:00:00:04 a23456789012345 10.0.0.2/24 - 1.1.1.1',
  ]);
});

test('a mount: device, path, read-only or not', () => {
  expect(
    understood('flintlock.mount=vdb:/data', 'flintlock.mount=vdc1:/a/b%20c:ro', 'flintlock.mount=vdd:/%3Aro'),
  ).toEqual(['mount /data vdb rw', 'mount /a/b%20c vdc1 ro', 'mount /%3Aro vdd rw']);
});

test('what comes after -- is for the program', () => {
  expect(understood('flintlock.mount=vdb:/x', '--', 'flintlock.mount=vdb:/y')).toEqual(['mount /x vdb rw']);
});

test.each([
  ['flintlock.nic=', 'nothing'],
  ['flintlock.nic=52:54:00:00:00,web0', 'no MAC'],
  ['flintlock.nic=52:54:00:00:00:0g,web0', 'no MAC'],
  ['flintlock.nic=52:54:00:00:00:01', 'no name'],
  ['flintlock.nic=52:54:00:00:00:01,../x', 'a path'],
  ['flintlock.nic=52:54:00:00:00:01,a234567890123456', 'a name of 16 bytes'],
  ['flintlock.mount=vdb', 'no path'],
  ['flintlock.mount=vdb:data', 'a relative path'],
  ['flintlock.mount=vdb:/a/../b', 'a path that goes up'],
  ['flintlock.mount=vdb:/a/%2E%2E', 'the same, encoded'],
  ['flintlock.mount=../vdb:/a', 'a device elsewhere'],
  ['flintlock.mount=:/a', 'no device'],
  ['flintlock.mount=vdb:/a:rw', 'an unknown option'],
])('%s is not understood: %s', (word) => {
  expect(understood(word)).toEqual([`bad ${word}`]);
});

test('it understands what the daemon says, whatever the path', () => {
  const volume = { id: 'v', isRoot: false, isReadOnly: true, image: 'i' };
  const paths = ['/plain', '/a b/c', '/größe', '/%41', '/it\'s \\n "x" $(id) `id` *?[a]', '/a:ro'];
  const words = guestWords(
    {
      kernel: { image: 'k', cmdline: '', addNetworkConfig: false },
      interfaces: [],
      volumes: paths.map((mountPoint) => ({ ...volume, mountPoint })),
    },
    [{ name: 'lan', mac: '02:00:00:00:00:01', fixed: { address: '10.1.2.3/16', dns: ['9.9.9.9'] } }],
  );
  const lines = understood(...words);
  expect(lines).toContain('nic 02:00:00:00:00:01 lan 10.1.2.3/16 - 9.9.9.9');
  const seen = lines
    .filter((line) => line.startsWith('mount '))
    .map((line) => decodeURIComponent(line.split(' ')[1] ?? ''));
  expect(seen.toSorted()).toEqual(paths.toSorted());
});

const ID = '0123456789abcdef0123456789abcdef';
const WORDS = `systemd.machine_id=${ID} hostname=web-1 flintlock.nic=52:54:00:00:00:0a,lan0,10.0.2.15/24,10.0.2.2,192.0.2.99`;

/**
 * Has it supply a root in namespaces of its own, as the initrd does before the root's init begins.
 *
 * @param files - `-> TO` is a link, `/` an empty directory; those of /etc nobody but root may read
 * @returns that root
 */
function supplied(files: Readonly<Record<string, string>>): string {
  const top = mkdtempSync(join(tmpdir(), 'flintlock-supply-'));
  onTestFinished(() => rmSync(top, { recursive: true }));
  const root = join(top, 'root');
  for (const name of ['bin', 'dev', 'proc', 'run', 'sys', ...('etc' in files ? [] : ['etc'])])
    mkdirSync(join(root, name), { recursive: true });
  copyFileSync('/bin/busybox', join(root, 'bin/busybox'));
  for (const name of execFileSync('busybox', ['--list'], { encoding: 'utf8' }).trim().split('\n'))
    if (name !== 'busybox') symlinkSync('busybox', join(root, 'bin', name));
  copyFileSync(HELPER, join(root, 'bin/flintlock-init'));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    if (content.startsWith('-> ')) symlinkSync(content.slice(3), join(root, path));
    else if (content === '/') mkdirSync(join(root, path));
    else writeFileSync(join(root, path), content, { mode: path.startsWith('etc/') ? 0o600 : 0o755 });
  }
  writeFileSync(join(top, 'cmdline'), `${WORDS}\n`);
  const script = `set -e
    mount -t proc proc "$1/root/proc"
    mount --bind "$1/cmdline" "$1/root/proc/cmdline"
    mount -t sysfs sys "$1/root/sys"
    chroot "$1/root" /bin/sh /bin/flintlock-init supply /sbin/init
    mount >"$1/mounts"`;
  execFileSync('unshare', ['--mount', '--net', '--uts', '--ipc', '--pid', '--fork', 'sh', '-c', script, 'sh', top], {
    timeout: 120_000,
  });
  renameSync(join(top, 'mounts'), join(root, 'mounts'));
  return root;
}

test('what a runtime lays over an image is supplied', () => {
  const root = supplied({});
  const read = (path: string): string => readFileSync(join(root, path), 'utf8');
  expect(read('etc/resolv.conf')).toBe('nameserver 192.0.2.99\n');
  expect(read('etc/hosts')).toMatch(/^127\.0\.0\.1 localhost\n(?:.*\n)*127\.0\.1\.1 web-1$/m);
  expect(read('etc/machine-id')).toBe(`${ID}\n`);
  expect(readlinkSync(join(root, 'etc/mtab'))).toBe('../proc/self/mounts');
  for (const [type, at] of [
    ['devpts', 'dev/pts'],
    ['tmpfs', 'dev/shm'],
    ['mqueue', 'dev/mqueue'],
  ])
    expect(read('mounts')).toContain(` on ${join(root, at ?? '')} type ${type} `);
});

const EMPTY = { 'etc/resolv.conf': '', 'etc/hosts': '', 'etc/machine-id': '' };
test.each<[string, Readonly<Record<string, string>>, string]>([
  ['files that nobody else may read', EMPTY, 'etc'],
  ['directories', { 'etc/resolv.conf': '/', 'etc/hosts': '/', 'etc/machine-id': '/' }, 'etc'],
  [
    'links to where nothing is',
    { 'etc/resolv.conf': '-> /no/r', 'etc/hosts': '-> /config/hosts', 'etc/machine-id': '-> ../var/id' },
    'etc',
  ],
  ['links that go round in circles', { 'etc/hosts': '-> hosts', 'etc/machine-id': '-> ./machine-id' }, 'etc'],
  ['no /etc, but a link', { etc: '-> /data/etc' }, 'data/etc'],
])('in the place of what is supplied an image has %s', (_, files, etc) => {
  const root = supplied(files);
  const inside = (path: string): string => execFileSync('chroot', [root, '/bin/cat', path], { encoding: 'utf8' });
  expect(inside('/etc/resolv.conf')).toBe('nameserver 192.0.2.99\n');
  expect(inside('/etc/hosts')).toMatch(/^127\.0\.0\.1 localhost\n(?:.*\n)*127\.0\.1\.1 web-1$/m);
  expect(inside('/etc/machine-id')).toBe(`${ID}\n`);
  const modes = execFileSync('chroot', [
    root,
    '/bin/stat',
    '-Lc',
    '%a',
    '/etc/resolv.conf',
    '/etc/hosts',
    '/etc/machine-id',
  ]);
  expect(modes.toString()).toBe('644\n'.repeat(3));
  expect(readlinkSync(join(root, etc, 'mtab'))).toBe('../proc/self/mounts');
  // On a root that can be written nothing hides it.
  expect(readFileSync(join(root, 'mounts'), 'utf8')).not.toContain('overlay on /etc');
});

test('a directory with something in it stays, and so does what can be written beside it', () => {
  const root = supplied({ 'etc/hosts/web': 'x', 'etc/hostname': 'dos\r\n' });
  expect(readFileSync(join(root, 'etc/hosts/web'), 'utf8')).toBe('x');
  expect(readFileSync(join(root, 'mounts'), 'utf8')).not.toMatch(/ overlay /);
});

const STUB = 'nameserver\t127.0.0.53\noptions edns0\n';
test.each([
  ["Docker's", 'search lan\nnameserver 127.0.0.11\noptions ndots:0\n', {}, 'nameserver 192.0.2.99\n'],
  ["a stub's that will not run", STUB, {}, 'nameserver 192.0.2.99\n'],
  [
    'a stub’s that will',
    STUB,
    {
      'usr/lib/systemd/systemd-resolved': '#!/bin/sh\n',
      'etc/systemd/system/sysinit.target.wants/systemd-resolved.service': '-> /usr/lib/systemd/system/x.service',
    },
    STUB,
  ],
  [
    'one beside them',
    `nameserver 127.0.0.11\nnameserver 192.0.2.1\n`,
    {},
    'nameserver 127.0.0.11\nnameserver 192.0.2.1\n',
  ],
  ['Docker’s, with the line ends of Windows', 'nameserver 127.0.0.11\r\n', {}, 'nameserver 192.0.2.99\n'],
  ['one of the image’s own', 'nameserver 127.0.0.1\n', {}, 'nameserver 127.0.0.1\n'],
])('name servers that are in an image: %s', (_, before, files, after) => {
  const root = supplied({ 'etc/resolv.conf': before, ...files });
  expect(readFileSync(join(root, 'etc/resolv.conf'), 'utf8')).toBe(after);
});

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
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

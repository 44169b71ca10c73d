import { expect, test } from 'vitest';
import type { Files } from '../../ports/host.ts';
import { mountsAndLoops, requireNoMount } from './mounts.ts';

const ROOTS = ['/var/lib/fl', '/run/fl'];

function filesWith(mounts: readonly string[], loops: Readonly<Record<string, string>> = {}): Files {
  const texts = new Map(Object.entries(loops).map(([name, file]) => [`/sys/block/${name}/loop/backing_file`, file]));
  texts.set('/proc/self/mountinfo', ['1 0 8:1 / / rw - ext4 /dev/sda rw', ...mounts].join('\n'));
  const used: Partial<Files> = {
    read: async (path) => (texts.has(path) ? Buffer.from(texts.get(path) ?? '') : undefined),
    list: async () => Object.keys(loops),
  };
  return used as Files;
}

const BIND = '2 1 8:1 /var /mnt/my\\040var rw - ext4 /dev/sda rw';
const RUN = '3 1 0:20 / /run rw - tmpfs tmpfs rw';

test.each<[string, readonly string[], readonly string[]]>([
  ['nothing', [BIND, RUN], []],
  ['one', [RUN, '4 3 0:30 / /run/fl/x rw - tmpfs t rw'], ['/run/fl/x']],
  [
    'one over another',
    ['4 1 0:30 / /var/lib/fl/x rw - t t rw', '5 4 0:31 / /var/lib/fl/x rw - t t rw'],
    ['/var/lib/fl/x'],
  ],
  [
    'one in another',
    ['4 1 0:30 / /var/lib/fl/x rw - t t rw', '5 4 0:31 / /var/lib/fl/x/y rw - t t rw'],
    ['/var/lib/fl/x', '/var/lib/fl/x/y'],
  ],
  ['one by another path alone', [BIND, '4 2 0:30 / /mnt/my\\040var/lib/fl/x rw - t t rw'], ['/mnt/my var/lib/fl/x']],
  [
    'one by both paths',
    [BIND, '4 2 0:30 / /mnt/my\\040var/lib/fl/x rw - t t rw', '5 1 0:30 / /var/lib/fl/x rw - t t rw'],
    ['/var/lib/fl/x'],
  ],
  ['those beside', [BIND, '4 2 0:30 / /mnt/my\\040var/lib/flx rw - t t rw', '5 1 0:31 / /var/lib/fl rw - t t rw'], []],
  // What is under a file system of its own is seen by nobody else.
  [
    'one that a mount of ours covers',
    [BIND, '4 1 0:30 / /var/lib/fl rw - t t rw', '5 2 0:31 / /mnt/my\\040var/lib/fl/x rw - t t rw'],
    [],
  ],
])('of mounts below directories of ours: %s', async (_, mounts, names) => {
  const things = await mountsAndLoops(filesWith(mounts), ROOTS);
  expect(things.map(({ name }) => name)).toEqual(names);
});

test('a loop device is one of ours by whatever path it was made', async () => {
  const loops = { loop0: '/var/lib/fl/a', loop1: '/mnt/my var/lib/fl/b\n', loop2: '/mnt/my var/lib/other', sda: '' };
  const things = await mountsAndLoops(filesWith([BIND], loops), ROOTS);
  expect(things.map(({ name }) => name)).toEqual(['/dev/loop0', '/dev/loop1']);
});

test('nothing is removed that somebody has mounted on, by whatever path', async () => {
  const files = filesWith([BIND, '4 2 0:30 / /mnt/my\\040var/lib/fl/x/y rw - t t rw']);
  for (const path of ['/var/lib/fl/x', '/var/lib/fl/x/y'])
    await expect(requireNoMount(files, path, ROOTS)).rejects.toThrow('mounted at /mnt/my var/lib/fl/x/y');
  await requireNoMount(files, '/var/lib/fl/z', ROOTS);
  await requireNoMount(files, '/var/lib/fl/x/y/z', ROOTS);
});

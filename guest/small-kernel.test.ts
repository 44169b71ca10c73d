import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { FRAGMENT, unmet } from './small-kernel.ts';

const config = '#\n# Linux\n#\nCONFIG_SMP=y\nCONFIG_HZ=100\n# CONFIG_NUMA is not set\nCONFIG_DUMMY=y\n';

const known = (option: string): boolean => option !== 'OF_ANOTHER_AGE';

test('lines that hold are not named', () => {
  expect(unmet('# a comment\nCONFIG_SMP=y\n\nCONFIG_HZ=100\n# CONFIG_NUMA is not set\n', config, known)).toEqual([]);
  expect(unmet('# CONFIG_OF_ANOTHER_AGE is not set', config, known)).toEqual([]);
});

test('what was dropped, changed or selected all the same is named', () => {
  const wrong = ['CONFIG_GONE=y', 'CONFIG_HZ=250', 'CONFIG_NUMA=y', '# CONFIG_DUMMY is not set'];
  expect(unmet(wrong.join('\n'), config, known)).toEqual(wrong);
});

test('what only some kernels know is asked of those', () => {
  const fragment = (...lines: string[]): string => ['# Where known:', ...lines].join('\n');
  expect(unmet(fragment('CONFIG_OF_ANOTHER_AGE=y', 'CONFIG_SMP=y'), config, known)).toEqual([]);
  expect(unmet(fragment('CONFIG_OF_ANOTHER_AGE=y', 'CONFIG_NUMA=y'), config, known)).toEqual(['CONFIG_NUMA=y']);
  expect(unmet(fragment('CONFIG_SMP=y', '', 'CONFIG_OF_ANOTHER_AGE=y'), config, known)).toEqual([
    'CONFIG_OF_ANOTHER_AGE=y',
  ]);
});

test('of two names for one thing, one must hold', () => {
  const fragment = '# Either:\nCONFIG_OLD=y\nCONFIG_NEW=y\n# And more.\nCONFIG_SMP=y';
  expect(unmet(fragment, `${config}CONFIG_NEW=y\n`, known)).toEqual([]);
  expect(unmet(fragment, `${config}CONFIG_OLD=y\n`, known)).toEqual([]);
  expect(unmet(fragment, config, known)).toEqual(['CONFIG_OLD=y or CONFIG_NEW=y']);
});

test('the fragment says each thing once, and names what guests of each kind need', () => {
  const names = [...readFileSync(FRAGMENT, 'utf8').matchAll(/^(?:# )?(CONFIG_\w+)(?==| is not set)/gm)].map(
    ([, name]) => name,
  );
  expect(names.length).toBeGreaterThan(150);
  expect(new Set(names).size).toBe(names.length);
  expect(names).toEqual(
    expect.arrayContaining(
      'EXT4_FS VFAT_FS ISO9660_FS VIRTIO_MMIO_CMDLINE_DEVICES VIRTIO_BLK VIRTIO_NET HW_RANDOM_VIRTIO VIRTIO_CONSOLE'
        .split(' ')
        .map((name) => `CONFIG_${name}`),
    ),
  );
});

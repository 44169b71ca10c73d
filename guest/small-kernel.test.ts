import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { FRAGMENT, unmet } from './small-kernel.ts';

const config = '#\n# Linux\n#\nCONFIG_SMP=y\nCONFIG_HZ=100\n# CONFIG_NUMA is not set\nCONFIG_DUMMY=y\n';

test('lines that hold are not named', () => {
  expect(unmet('# a comment\nCONFIG_SMP=y\n\nCONFIG_HZ=100\n# CONFIG_NUMA is not set\n', config)).toEqual([]);
  expect(unmet('# CONFIG_OF_ANOTHER_AGE is not set', config)).toEqual([]);
});

test('what was dropped, changed or selected all the same is named', () => {
  const wrong = ['CONFIG_GONE=y', 'CONFIG_HZ=250', 'CONFIG_NUMA=y', '# CONFIG_DUMMY is not set'];
  expect(unmet(wrong.join('\n'), config)).toEqual(wrong);
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

import { expect, test } from 'vitest';
import { fakeFiles } from '../../test/support/fake-files.ts';
import { DiskReservations } from './reservations.ts';

const MB = 2 ** 20;

test('what was promised is not promised again, until it is used or given back', async () => {
  let free = 100 * MB;
  const reservations = new DiskReservations({ ...fakeFiles({}), freeBytes: async () => free }, '/images', 10 * MB);
  const first = await reservations.reserve(60 * MB, 'pull image "a"', 'layers');
  await expect(reservations.reserve(40 * MB, 'pull image "b"', 'layers')).rejects.toMatchObject({
    kind: 'full',
    reason: 'StorageFull',
    terminal: false,
    message:
      'Cannot pull image "b": it needs at least 40 MB (layers) and 10 MB must stay free; /images has 100 MB free, of which 60 MB are reserved by other work under way',
  });
  // Bytes on the disk are no longer free, and no longer promised: the sum is the same.
  free -= 50 * MB;
  first.used(50 * MB);
  await expect(reservations.reserve(31 * MB, 'pull', 'x')).rejects.toThrow('of which 10 MB are reserved');
  first.used(0); // never back
  using second = await reservations.reserve(30 * MB, 'pull', 'x');
  second.used(1_000 * MB);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  using _third = await reservations.reserve(40 * MB, 'pull', 'x');
});

import { expect, test } from 'vitest';
import { flagsFor } from './providers.ts';

test('the daemon is told of the programs that are named', () => {
  expect(flagsFor({})).toEqual([]);
  expect(flagsFor({ FLINTLOCK_TEST_FIRECRACKER: '/opt/fc', FLINTLOCK_TEST_CLOUDHYPERVISOR: '' })).toEqual([
    ...['--firecracker-bin', '/opt/fc'],
  ]);
});

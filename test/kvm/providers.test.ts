import { expect, test } from 'vitest';
import { flagsFor, TRIED } from './providers.ts';

test('each provider has rows, and but for one a variable that names its program', () => {
  expect(TRIED.map(({ by }) => by?.variable ?? 'none').toSorted()).toEqual([
    ...['FLINTLOCK_TEST_CLOUDHYPERVISOR', 'FLINTLOCK_TEST_FIRECRACKER', 'none'],
  ]);
});

test('the daemon is told of the programs that are named', () => {
  expect(flagsFor({})).toEqual([]);
  expect(flagsFor({ FLINTLOCK_TEST_FIRECRACKER: '/opt/fc', FLINTLOCK_TEST_CLOUDHYPERVISOR: '' })).toEqual([
    ...['--firecracker-bin', '/opt/fc'],
  ]);
  expect(flagsFor({ FLINTLOCK_TEST_FIRECRACKER: '/opt/fc', FLINTLOCK_TEST_JAILER: '/opt/jailer' })).toEqual([
    ...['--firecracker-bin', '/opt/fc', '--firecracker-jailer-bin', '/opt/jailer'],
  ]);
});

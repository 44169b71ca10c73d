import { expect, test } from 'vitest';
import { type FaultPoints, NO_FAULTS } from '../ports/fault-points.ts';
import { patient } from './patience.ts';

test('a step has as many times as long, up to what a timer can hold', () => {
  const slow = patient(NO_FAULTS, 10);
  expect(slow.limitMs('tap', 'make', 1_500)).toBe(15_000);
  expect(slow.limitMs('tap', 'make', 2 ** 31 - 1)).toBe(2 ** 31 - 1);
  expect(patient(NO_FAULTS, 1).limitMs('tap', 'unmake', 1_500)).toBe(1_500);
});

test('acts and marks go where they went', async () => {
  const seen: string[] = [];
  const faults: FaultPoints = {
    ...NO_FAULTS,
    marked: (kind, way) => void seen.push(`${way} ${kind}`),
    act: async (kind, way, act) => {
      seen.push(`before ${way} ${kind}`);
      return act();
    },
  };
  const slow = patient(faults, 3);
  expect(await slow.act('tap', 'make', async () => 7)).toBe(7);
  slow.marked('tap', 'make');
  expect(seen).toEqual(['before make tap', 'make tap']);
});

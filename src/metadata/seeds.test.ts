import { expect, test } from 'vitest';
import { sampleRecord } from '../../test/support/fake-services.ts';
import type { Uid } from '../domain/microvm.ts';
import { createSeeds, type Found } from './seeds.ts';

let reads = 0;
const found = (uid: string, text: string, generation = 1): Found => ({
  vm: sampleRecord({ uid: uid as Uid, generation }),
  nics: [],
  metadata() {
    reads++;
    return { 'user-data': Buffer.from(text).toString('base64') };
  },
});

test('is made once for each writing of the spec, and none for what is gone', () => {
  const vms = new Map([['A', found('A', 'one')]]);
  reads = 0;
  const seeds = createSeeds((uid) => vms.get(uid));
  const first = seeds('A');
  expect(String(first?.files.get('user-data'))).toBe('one');
  expect(seeds('A')).toBe(first);
  expect(reads).toBe(1);
  vms.set('A', found('A', 'two', 2));
  expect(String(seeds('A')?.files.get('user-data'))).toBe('two');
  vms.delete('A');
  expect(seeds('A')).toBeUndefined();
});

test('what was asked for longest ago is not kept beyond the bound', () => {
  const look = (uid: string) => found(uid, 'x'.repeat(1000));
  // Mostly our script in its vendor-data.
  const one = [...(createSeeds(look)('A')?.files ?? [])].reduce(
    (sum, [name, { length }]) => sum + name.length + length,
    0,
  );
  const seeds = createSeeds(look, 3.5 * one);
  const a = seeds('A');
  const b = seeds('B');
  expect(seeds('A')).toBe(a);
  seeds('C');
  seeds('D'); // B goes
  expect(seeds('A')).toBe(a);
  expect(seeds('B')).not.toBe(b);
});

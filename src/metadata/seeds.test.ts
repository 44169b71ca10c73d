import { expect, test } from 'vitest';
import type { MicroVm } from '../domain/microvm.ts';
import { createSeeds } from './seeds.ts';

const vm = (uid: string, text: string, generation = 1): MicroVm =>
  ({
    uid,
    generation,
    spec: { metadata: { 'user-data': Buffer.from(text).toString('base64') }, volumes: [], interfaces: [] },
    allocation: { interfaces: {} },
  }) as unknown as MicroVm;

test('is made once for each writing of the spec, and none for what is gone', () => {
  const vms = new Map([['A', vm('A', 'one')]]);
  const seeds = createSeeds((uid) => {
    const found = vms.get(uid);
    return found && { vm: found, nics: [] };
  });
  const first = seeds('A');
  expect(String(first?.files.get('user-data'))).toBe('one');
  expect(seeds('A')).toBe(first);
  vms.set('A', vm('A', 'two', 2));
  expect(String(seeds('A')?.files.get('user-data'))).toBe('two');
  vms.delete('A');
  expect(seeds('A')).toBeUndefined();
});

test('what was asked for longest ago is not kept beyond the bound', () => {
  const look = (uid: string) => ({ vm: vm(uid, 'x'.repeat(1000)), nics: [] });
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

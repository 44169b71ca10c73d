import { expect, test } from 'vitest';
import type { Nft, NftRow } from './nft.ts';
import { isVariable } from './whole.ts';
import { createTableMemory } from './whole-tables.ts';

const row = (kind: string, name: string, more: object = {}): NftRow => ({ kind, row: { name, ...more } });
const TABLE = 'netdev flintlock_abcd_macvtap';
const guards = [row('table', 'flintlock_abcd_macvtap'), row('map', 'marks'), row('chain', 'metadata')];
const service = [row('map', 'macs'), row('set', 'served'), row('chain', 'service-in'), row('chain', 'service-out')];

test('the way of macvtaps to the metadata comes after their guards, and is ours', () => {
  const memory = createTableMemory({} as Nft, isVariable);
  expect(memory.flaws(TABLE, guards)).toEqual([]);
  expect(memory.flaws(TABLE, [...guards, ...service])).toEqual([]);
  // It moves to another parent: gone for a moment, and there again.
  expect(memory.flaws(TABLE, guards)).toEqual([]);
  expect(memory.flaws(TABLE, [...guards, ...service])).toEqual([]);
  const changed = [...service.slice(0, 3), row('chain', 'service-out', { policy: 'accept' })];
  expect(memory.flaws(TABLE, [...guards, ...changed])).toMatchObject([
    { what: expect.stringContaining('service-out of the firewall table') },
  ]);
});

test('what nobody of ours brought is a flaw, and so is what all need and is gone', () => {
  const memory = createTableMemory({} as Nft, isVariable);
  memory.flaws(TABLE, guards);
  expect(memory.flaws(TABLE, [...guards.slice(0, 2), row('set', 'theirs')])).toMatchObject([
    { what: expect.stringContaining('chain metadata') },
    { what: expect.stringContaining('set theirs') },
  ]);
});

import { expect, test } from 'vitest';
import { createGuards } from './guards.ts';
import type { Nft } from './nft.ts';

const signal = new AbortController().signal;
const guard = { table: 'flintlock_abcd', device: 'flabcdtap0', mac: '52:54:00:00:00:01', address: '10.77.0.2' };

test('a guard that goes while the rules are set anew does not come back with them', async () => {
  const { promise: asked, resolve: tell } = Promise.withResolvers<void>();
  const { promise: held, resolve: answer } = Promise.withResolvers<readonly unknown[]>();
  const applied: string[] = [];
  const nft: Partial<Nft> = {
    elements: async () => {
      tell();
      return held;
    },
    apply: async (rules) => void applied.push(rules),
    change: async (statements) => void applied.push(statements.join('\n')),
  };
  const guards = createGuards(nft as Nft);
  const mended = guards.addGuards({ table: guard.table, prefix: 'flabcd' }, signal);
  await asked;
  const removed = guards.removeGuard(guard, signal);
  answer([{ concat: [guard.device, guard.mac] }]);
  await Promise.all([mended, removed]);
  const last = applied.findLastIndex((rules) => rules.includes('add element bridge flintlock_abcd clients'));
  expect(applied.slice(last)).toEqual([expect.stringContaining('delete element bridge flintlock_abcd clients')]);
});

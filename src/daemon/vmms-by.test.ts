import { expect, test } from 'vitest';
import type { Vmm } from '../ports/vmm.ts';
import { vmmsBy } from './vmms-by.ts';

const [a, b] = ['a', 'b'].map((name) => ({ name }) as Vmm);
const all = [a, b].flatMap((vmm) => vmm ?? []);

test('VMMs are found by name, and no name is the one of records that tell none', () => {
  const { vmmOf, defaultVmms } = vmmsBy(all, ['b', 'a'], 'a');
  expect(defaultVmms).toEqual([b, a]);
  expect(vmmOf('')).toBe(a);
  expect(vmmOf('b')).toBe(b);
  expect(vmmOf('a')).toBe(a);
  expect(() => vmmOf('c')).toThrow(expect.objectContaining({ reason: 'ProviderUnavailable' }));
});

import { expect, test } from 'vitest';
import { demoKernelOf } from './demo-kernel.ts';

test('the demo kernel is what was asked for, or the checkouts own where it is allowed', async () => {
  const images = {
    check: async (ref: string) => (ref.includes('allowed') ? undefined : 'is not below an --image-root'),
  };
  const directory = import.meta.dirname; // any that is there
  const of = (wanted: string, checkout: string) => demoKernelOf({ 'demo-kernel': wanted }, images, checkout);
  expect(await of('none', directory)).toBe('');
  expect(await of('oci:/allowed:k', directory)).toBe('oci:/allowed:k');
  await expect(of('oci:/else:k', directory)).rejects.toThrow(/Cannot use --demo-kernel oci:\/else:k: is not below/);
  expect(await of('auto', directory)).toBe('');
  expect(await of('auto', '/nowhere/allowed')).toBe('');
  const all = { check: async () => undefined };
  expect(await demoKernelOf({ 'demo-kernel': 'auto' }, all, directory)).toBe(`oci:${directory}:kernel`);
});

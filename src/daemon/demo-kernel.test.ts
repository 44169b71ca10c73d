import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { demoKernelOf } from './demo-kernel.ts';

test('the demo kernel is what was asked for, or the checkouts own where it is allowed', async () => {
  const images = {
    check: async (ref: string) => (ref.includes('allowed') ? undefined : 'is not below an --image-root'),
  };
  const directory = import.meta.dirname; // any that is there
  const of = (wanted: string, checkout: string) =>
    demoKernelOf({ 'demo-kernel': wanted, 'image-root': [] }, images, checkout);
  expect(await of('none', directory)).toBe('');
  expect(await of('oci:/allowed:k', directory)).toBe('oci:/allowed:k');
  await expect(of('oci:/else:k', directory)).rejects.toThrow(/Cannot use --demo-kernel oci:\/else:k: is not below/);
  expect(await of('auto', directory)).toBe('');
  expect(await of('auto', '/nowhere/allowed')).toBe('');
  const all = { check: async () => undefined };
  const auto = { 'demo-kernel': 'auto', 'image-root': [] };
  expect(await demoKernelOf(auto, all, directory)).toBe(`oci:${directory}:kernel`);
});

test('an image root that has the demo layout wins', async () => {
  const root = mkdtempSync(join(tmpdir(), 'flintlock-demo-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, 'demo'));
  const config = { 'demo-kernel': 'auto', 'image-root': ['/nowhere', root] };
  const all = { check: async () => undefined };
  expect(await demoKernelOf(config, all, import.meta.dirname)).toBe(`oci:${root}/demo:kernel`);
});

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const SRC = join(import.meta.dirname, '../../src');

test('in src nothing lies that was made of TypeScript: it would be read instead, and go stale', () => {
  const files = readdirSync(SRC, { recursive: true, withFileTypes: true }).filter((one) => one.isFile());
  expect(files.length).toBeGreaterThan(500);
  expect(files.map(({ name }) => name).filter((name) => /\.([cm]?js|map|d\.ts)$/.test(name))).toEqual([]);
});

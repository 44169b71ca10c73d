import { globSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { REASONS } from '../../src/domain/reason.ts';

const ROOT = resolve(import.meta.dirname, '../..');
/** They name reasons and set none. */
const NAMES_ONLY = /^src\/(gen|cli)\/|^src\/domain\/(reason|microvm)\.ts$|\.test\.ts$/;

test('every reason that is set somewhere has its section in docs/troubleshooting.md, and no other has', () => {
  const sources = globSync('src/**/*.ts', { cwd: ROOT })
    .filter((path) => !NAMES_ONLY.test(path))
    .map((path) => readFileSync(resolve(ROOT, path), 'utf8'));
  const set = REASONS.filter((reason) => sources.some((text) => text.includes(`'${reason}'`)));
  const page = readFileSync(resolve(ROOT, 'docs/troubleshooting.md'), 'utf8');
  const [, sections = ''] = page.split('\n## Reasons\n');
  const described = [...sections.matchAll(/^### (\w+)$/gm)].map(([, name]) => name);
  expect(described.toSorted()).toEqual(set.toSorted());
});

import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { namedInComments, namedInPage } from './named-files.ts';

const ROOT = join(import.meta.dirname, '../..');
const SOURCES = globSync(['{src,test,guest,bench,scripts}/**/*.{ts,mjs}', '*.ts'], { cwd: ROOT });
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const there = SOURCES.map((path) => `/${path}`);
const isThere = (name: string): boolean => there.some((path) => path.endsWith(`/${name}`));

test('each file of ours that a comment names is there', () => {
  const named = SOURCES.flatMap((path) => namedInComments(read(path)).map((name) => ({ path, name })));
  expect(named.length).toBeGreaterThan(50);
  expect(named.filter(({ name }) => !isThere(name))).toEqual([]);
});

// What was decided once names what was there then: docs/adr is left as it is.
test('each path that a guide names is there', () => {
  const pages = globSync(['README.md', 'CONTRIBUTING.md', 'docs/*.md'], { cwd: ROOT });
  const named = pages.flatMap((page) => namedInPage(read(page)).map((path) => ({ page, path })));
  expect(named.length).toBeGreaterThan(10);
  expect(named.filter(({ path }) => globSync(path, { cwd: ROOT }).length === 0)).toEqual([]);
});

test('names are found in every form of comment, and only there', () => {
  const source = `
    /** See {@link x} and \`rooms.ts\`. */
    const code = 'no.ts'; // as in api/http/routes.ts
    /* check.mjs,
     * rules/imports.test.ts: */
    // import './not.ts'; https://example.com/neither.ts, sun.tsx
  `;
  expect(namedInComments(source)).toEqual(['rooms.ts', 'api/http/routes.ts', 'check.mjs', 'rules/imports.test.ts']);
  expect(namedInPage('`src/a.ts` and `x.ts`\n```\n`src/b.ts`\n```\n(`docs/adr/`) src/c.ts')).toEqual([
    'src/a.ts',
    'docs/adr/',
  ]);
});

import { globSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { PROVIDERS } from '../../src/vmm/registry.ts';

const ROOT = resolve(import.meta.dirname, '../..');

/** Where a provider may be named outside its own folder: why. */
const MAY_NAME: Readonly<Record<string, string>> = {
  'src/vmm/registry.ts': 'its line',
  'src/daemon/former.ts': 'flags of flintlock in Go, by the names that they have there',
};

/** Code and its strings: comments may tell where a rule comes from. */
const withoutComments = (text: string): string =>
  text.replaceAll(/\/\*.*?\*\//gs, '').replaceAll(/(^|\s)\/\/.*$/gm, '');

test('nothing outside of a provider says its name', () => {
  const names = PROVIDERS.flatMap(({ name, title }) => [name, title]);
  const named = globSync('src/**/*.ts', { cwd: ROOT })
    .filter((path) => !path.endsWith('.test.ts') && !path.startsWith('src/gen/'))
    .filter((path) => !PROVIDERS.some(({ name }) => path.startsWith(`src/vmm/${name}/`)))
    .filter((path) => {
      const code = withoutComments(readFileSync(resolve(ROOT, path), 'utf8')).toLowerCase();
      return names.some((name) => code.includes(name.toLowerCase()));
    });
  expect(named.toSorted()).toEqual(Object.keys(MAY_NAME).toSorted());
});

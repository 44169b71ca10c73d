import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const OF_KINDS = /\.(?:ts|mjs)$/;

/** In kill(2) 0 is one's own group, and -1 everybody. */
test('no process is signalled by a number that stands in for one that may be missing', () => {
  const found = ['src', 'test', 'bench', 'guest', 'scripts'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => OF_KINDS.test(name))
      .flatMap((name) =>
        [...readFileSync(join(ROOT, folder, name), 'utf8').matchAll(/process\.kill\([^;]*\?\? ?-?\d[^;]*;/g)].map(
          ([text]) => `${folder}/${name}: ${text}`,
        ),
      ),
  );
  expect(found.filter((text) => !text.startsWith('test/e2e/ends-inside.ts: '))).toEqual([]);
});

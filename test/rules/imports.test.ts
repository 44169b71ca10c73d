import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { breaches, importsOf } from './imports.ts';
import { ROOMS } from './rooms.ts';

const ROOT = join(import.meta.dirname, '../..');
const FILES = readdirSync(join(ROOT, 'src'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
  .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)));

test('every room imports only what the table allows', () => {
  expect(FILES.length).toBeGreaterThan(0);
  expect(FILES.flatMap((path) => breaches(path, readFileSync(join(ROOT, path), 'utf8')))).toEqual([]);
});

describe('a planted breach is seen', () => {
  test.each(Object.keys(ROOMS))('in %s', (room) => {
    const up = '../'.repeat(room.split('/').length);
    const stranger = room === 'daemon' ? 'cli' : 'daemon';
    const planted = [
      `${up}${stranger}/main.ts`,
      'left-pad',
      ...(ROOMS[room]?.node === 'any' ? [] : ['node:child_process']),
    ];
    const source = planted.map((target) => `import type { X } from '${target}';`).join('\n');
    expect(breaches(`src/${room}/planted.ts`, source)).toHaveLength(planted.length);
  });

  test('between siblings, in a test, and outside of all rooms', () => {
    expect(breaches('src/vmm/qemu/x.ts', "import { y } from '../firecracker/y.ts';")).toHaveLength(1);
    expect(breaches('src/store/x.test.ts', "import { y } from '../engine/y.ts';")).toHaveLength(1);
    expect(breaches('src/store/x.test.ts', "import { y } from '../../test/support/y.ts';")).toEqual([]);
    expect(breaches('src/store/x.ts', "import { y } from '../../test/support/y.ts';")).toHaveLength(1);
    expect(breaches('src/elsewhere/x.ts', '')).toHaveLength(1);
  });
});

test('imports are found in every form', () => {
  const source = `
    import one from './1.ts';
    import { two,
      type Two } from "./2.ts";
    import type { Three } from './3.ts';
    import * as four from './4.ts';
    import './5.ts';
    export { six } from './6.ts';
    export * from './7.ts';
    const eight = await import('./8.ts');
    type Nine = import('./9.ts').Nine;
    // import './not.ts';
    /* import './neither.ts'; */
  `;
  expect(importsOf(source)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => `./${n}.ts`));
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fakeFiles } from '../../test/support/fake-files.ts';
import { findInTree } from './tree-path.ts';

const files = fakeFiles({
  '/t/a/b/file': 'x',
  '/t/abs': { link: '/a/b/file' },
  '/t/rel': { link: 'a/b/../b/file' },
  '/t/a/up': { link: '../../../../etc/shadow' },
  '/t/a/out': { link: '/etc/shadow' },
  '/t/a/dir': { link: '/a/b' },
  '/t/chain': { link: 'abs' },
  '/t/loop': { link: 'loop2' },
  '/t/loop2': { link: 'loop' },
  '/t/host': { link: '/t/a/b/file' },
  '/t/pipe': { kind: 'other' },
  '/etc/shadow': 'secret',
});
const find = async (path: string) => (await findInTree(files, '/t', path))?.path;

test.each([
  ['a/b/file', '/t/a/b/file'],
  ['/a//b/./file', '/t/a/b/file'],
  ['abs', '/t/a/b/file'],
  ['rel', '/t/a/b/file'],
  ['chain', '/t/a/b/file'],
  ['a/dir/file', '/t/a/b/file'],
  ['a/dir/../b/file', '/t/a/b/file'],
  ['../../a/b/file', '/t/a/b/file'],
  ['pipe', '/t/pipe'],
  ['', '/t'],
  ['..', '/t'],
])('%j is %s', async (path, found) => expect(await find(path)).toBe(found));

test.each(['a/up', 'a/out', 'loop', 'host', 'none', 'a/b/file/', 'a/b/file/x', 'a/b/file/..', 'none/..', 'a\0b'])(
  '%j leads nowhere',
  async (path) => expect(await find(path)).toBe(path === 'a/b/file/' ? '/t/a/b/file' : undefined),
);

test('no path leads out of the tree', async () => {
  const part = fc.constantFrom(
    'a',
    'b',
    'up',
    'out',
    'dir',
    'abs',
    'rel',
    'host',
    'loop',
    '..',
    '.',
    '',
    'etc',
    'shadow',
  );
  await fc.assert(
    fc.asyncProperty(fc.array(part, { maxLength: 12 }), async (parts) => {
      const found = await find(parts.join('/'));
      if (found !== undefined) expect(`${found}/`).toMatch(/^\/t\//);
    }),
    { numRuns: 500 },
  );
});

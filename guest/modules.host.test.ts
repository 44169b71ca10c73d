/** The image of the demo kernel's modules: what modprobe reads in a guest that mounts it. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { unpackImage } from '../test/support/boot.ts';

const scratch = mkdtempSync(join(tmpdir(), 'flintlock-modules-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

test('every module that the lists name is there, unpacked, and what it needs before it', () => {
  const tree = join(scratch, 'modules');
  unpackImage('demo:modules', tree);
  const lists = new Map(
    readFileSync(join(tree, 'modules.dep'), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const [module = '', needs = ''] = line.split(':');
        return [module, needs.trim().split(' ')] as const;
      }),
  );
  const nameOf = (path: string): string => path.split('/').at(-1) ?? '';
  const names = new Map([...lists].map(([path, needs]) => [nameOf(path), needs.map(nameOf)] as const));
  expect(names.has('overlay.ko')).toBe(true);
  expect(names.get('vfat.ko')).toContain('fat.ko');
  for (const path of lists.keys()) expect(existsSync(join(tree, path)), path).toBe(true);
  const packed = readdirSync(tree, { recursive: true, encoding: 'utf8' }).filter((path) => /\.ko\./.test(path));
  expect(packed).toEqual([]);
});

import { expect, test } from 'vitest';
import type { Files } from '../ports/host.ts';
import { strayTap } from './stray-tap.ts';

/** Of a process with these descriptors; null: closed since they were listed. */
const filesOf = (open: Readonly<Record<string, string | Error | null>>): Pick<Files, 'list' | 'readLink' | 'stat'> => {
  const at = (path: string) => open[path.replace('/proc/7/fd/', '')];
  return {
    list: async () => Object.keys(open),
    async readLink(path) {
      const target = at(path);
      if (typeof target === 'string') return target;
      throw target ?? new Error('ENOENT');
    },
    stat: async (path) =>
      at(path) === null ? undefined : ({ kind: 'symlink', mode: 0o777, sizeBytes: 0, diskBytes: 0 } as never),
  };
};

test.each([
  ['a tap by its name', { 3: '/dev/net/tun', 4: 'socket:[1]' }, undefined],
  ['its own macvtap', { 3: '/dev/tap9' }, undefined],
  ['a stranger’s', { 3: '/dev/net/tun', 4: '/dev/tap5' }, '/dev/tap5'],
  ['one of a stranger that is gone', { 3: '/dev/tap5 (deleted)' }, '/dev/tap5'],
  ['one that was closed meanwhile, and a stranger’s', { 3: null, 4: '/dev/tap5' }, '/dev/tap5'],
])('of a VMM with %s', async (_, open, stray) => {
  expect(await strayTap(filesOf(open), 7, ['/dev/tap9'])).toBe(stray);
});

test('what cannot be seen is not taken for none', async () => {
  await expect(strayTap(filesOf({ 3: new Error('EACCES') }), 7, [])).rejects.toThrow('EACCES');
});

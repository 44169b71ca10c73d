import { expect, test } from 'vitest';
import { fakeFiles } from '../../../test/support/fake-files.ts';
import { whyClosed } from './closed.ts';

const there = fakeFiles({ '/disk': 'x' });
const files = (mode: number, owner?: { readonly user: number; readonly group: number }) => ({
  ...there,
  stat: async (path: string) => {
    const info = await there.stat(path);
    return info && { ...info, mode, ...(owner && { owner }) };
  },
});

test.each([
  ['/nowhere', files(0o644), '/nowhere is not there'],
  ['/disk', files(0o600, { user: 0, group: 0 }), "/disk is user 0's with mode 0600, and its Firecracker is user 77001"],
  [
    '/disk',
    files(0o200, { user: 77_001, group: 0 }),
    "/disk is user 77001's with mode 0200, and its Firecracker is user 77001",
  ],
  ['/disk', files(0o600, { user: 77_001, group: 0 }), undefined],
  ['/disk', files(0o640, { user: 0, group: 77_001 }), undefined],
  ['/disk', files(0o644, { user: 0, group: 0 }), undefined],
  ['/disk', files(0o000), undefined],
])('%s: %#', async (path, hands, why) => {
  expect(await whyClosed(path, 77_001, hands)).toBe(why);
});

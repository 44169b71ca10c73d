import { expect, test } from 'vitest';
import { fakeFiles } from '../../test/support/fake-files.ts';
import { findProgram } from './programs.ts';

const files = fakeFiles({
  '/usr/sbin/nft': 'x',
  '/opt/bin/nft': 'x',
  '/opt/qemu': 'x',
  '/opt/bin/directory/file': 'x',
});

test.each([
  ['/opt/bin:/usr/bin', 'nft', '/opt/bin/nft'],
  ['relative:/usr/bin', 'nft', '/usr/sbin/nft'], // which the PATH of a user lacks
  ['', '/opt/qemu', '/opt/qemu'],
  ['/opt/bin', 'directory', undefined],
  ['/opt/bin', 'nowhere', undefined],
])('in %s, %s is %s', async (path, program, found) => {
  expect((await findProgram(files, path, program))?.path).toBe(found);
});

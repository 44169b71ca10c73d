import { expect, test } from 'vitest';
import { compareReleases, compareVersions, isSpecial } from './releases.ts';

test.each([
  [
    ['6.1.0-9', '6.10.0-1', '6.2', '6.1.0-18'],
    ['6.10.0-1', '6.2', '6.1.0-18', '6.1.0-9'],
  ],
  [
    ['6.9.0-rc7', '6.9.0', '6.8.12'],
    ['6.9.0', '6.9.0-rc7', '6.8.12'],
  ],
  [
    ['6.9-rc1', '6.9.1', '6.9'],
    ['6.9.1', '6.9', '6.9-rc1'],
  ],
  [
    ['6.9.0-0.rc7.20240512.1.fc41.x86_64', '6.9.0-64.fc41.x86_64', '6.10.1-200.fc40.x86_64'],
    ['6.10.1-200.fc40.x86_64', '6.9.0-64.fc41.x86_64', '6.9.0-0.rc7.20240512.1.fc41.x86_64'],
  ],
  [
    ['5.15.0-105-generic', '5.15.0-1051-aws', '5.4.0-9-generic'],
    ['5.15.0-1051-aws', '5.15.0-105-generic', '5.4.0-9-generic'],
  ],
  [
    ['6.12~rc2-1', '6.12-1'],
    ['6.12-1', '6.12~rc2-1'],
  ],
  [
    ['6.8.0-x86_64+debug', '6.8.0-x86_64'],
    ['6.8.0-x86_64', '6.8.0-x86_64+debug'],
  ],
  [
    ['6.12.0-rt-amd64', '6.1.0-57-amd64'],
    ['6.1.0-57-amd64', '6.12.0-rt-amd64'],
  ],
  [
    ['0-rescue-3f1c', '4.18.0-80.el8.x86_64'],
    ['4.18.0-80.el8.x86_64', '0-rescue-3f1c'],
  ],
  [
    ['4.18.0-80.el8.x86_64kdump', '4.18.0-80.el8.x86_64'],
    ['4.18.0-80.el8.x86_64', '4.18.0-80.el8.x86_64kdump'],
  ],
  [
    ['6.1.00', '6.1.9'],
    ['6.1.9', '6.1.00'],
  ],
  [
    [undefined, '5.10'],
    ['5.10', undefined],
  ],
])('%j in order', (given, order) => expect([...given].sort(compareReleases)).toEqual(order));

test('numbers of any length are numbers', () => {
  expect(compareVersions('6.99999999999999999999', '6.100000000000000000000')).toBeLessThan(0);
});

test.each([
  '6.1.0-57-cloud-amd64',
  '6.8.0-31-generic',
  '6.4.0-1-default',
  '6.1.90-microvm',
  'arch',
  'virt',
  'lts',
  '5.10.0-part1',
])('%s is a plain release', (release) => expect(isSpecial(release)).toBe(false));
test.each([
  '6.1+debug',
  '6.1-rt',
  '6.1-rt21-amd64',
  '6.1-dbg',
  '6.1.x86_64+rt-debug',
  'linux-fallback',
  '6.6-rc3+kasan',
  '6.1-64k',
])('%s is a special build', (release) => expect(isSpecial(release)).toBe(true));

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Uid } from '../../src/domain/microvm.ts';
import { bridgeName, macvtapServiceName, type Names, probeName, tapName } from '../../src/domain/names.ts';

const textOf = (path: string): string => readFileSync(join(import.meta.dirname, '../../packaging', path), 'utf8');

/** Of glob(7) without classes: NetworkManager.conf(5) takes `*` and `?` only, and its patterns are OR'ed. */
const matches = (pattern: string, name: string): boolean =>
  new RegExp(
    `^${pattern
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.')}$`,
  ).test(name);

const names: Names[] = ['abcd', 'a2z7', 'anne'].map((instance) => ({
  instance,
  stateDirectory: '/s',
  runDirectory: '/r',
}));
const uid = '01JD8Z5W6Q3M4N7P9RSTVWXYZ0' as Uid;
const OURS = names.flatMap((one) => [
  ...[bridgeName(one), macvtapServiceName(one), probeName(one)],
  // An interface's number is one character up to 31.
  ...[0, 9, 31, 32].map((index) => tapName(one, uid, index)),
]);
const OTHERS = [
  'flannel.1',
  'flannel.4096',
  'flannel-v6.1',
  'flannel-wg',
  'fl0',
  'flx',
  'eth0',
  'enp1s0f0np0',
  'virbr0',
  'docker0',
];

const network = /^Name=(.*)$/m.exec(textOf('networkd/00-flintlock.network'))?.[1]?.split(' ') ?? [];
const managed = /^match-device=(.*)$/m.exec(textOf('NetworkManager/90-flintlock.conf'))?.[1]?.split(';') ?? [];

test.for([
  ['systemd-networkd', (name: string) => network.some((one) => matches(one, name))],
  [
    'NetworkManager',
    (name: string) =>
      managed.some((one) => one.startsWith('interface-name:') && matches(one.slice('interface-name:'.length), name)),
  ],
] as const)('the file for %s is for our interfaces and no others', ([, isMatched]) => {
  expect(OURS.filter((name) => !isMatched(name))).toEqual([]);
  expect(OTHERS.filter(isMatched)).toEqual([]);
});

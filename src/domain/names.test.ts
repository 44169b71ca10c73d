import { describe, expect, test } from 'vitest';
import { checkLabelKey, checkLabelValue, shorten } from './labels.ts';
import { makeMac, parseMac } from './mac.ts';
import type { Uid } from './microvm.ts';
import {
  aliasOf,
  bridgeName,
  MAX_RUN_DIRECTORY,
  type Names,
  socketPath,
  tableName,
  tapName,
  vmRunDirectory,
} from './names.ts';

const names: Names = {
  instance: 'abcd',
  stateDirectory: '/var/lib/flintlock',
  runDirectory: `/${'r'.repeat(MAX_RUN_DIRECTORY - 1)}`,
};
const uid = '01JDGZ0000000000000000ABCD' as Uid;

describe('names on the host', () => {
  test('interfaces have at most 15 bytes, and each its own', () => {
    const taps = Array.from({ length: 1024 }, (_, i) => tapName(names, uid, i));
    for (const name of [bridgeName(names), ...taps]) expect(name).toMatch(/^flabcd[a-z0-9]{2,9}$/);
    expect(new Set([...taps, bridgeName(names)]).size).toBe(1025);
  });

  test('two uids of one moment have their own', () => {
    expect(tapName(names, '01JDGZ0000000000000000ABCD' as Uid, 0)).not.toBe(
      tapName(names, '01JDGZ0000000000000000ABCE' as Uid, 0),
    );
  });

  test('sockets have at most 107 bytes below the longest run-time directory', () => {
    expect(Buffer.byteLength(`${vmRunDirectory(names, uid)}/console.sock`)).toBe(107);
    expect(Buffer.byteLength(socketPath(names))).toBeLessThanOrEqual(107);
  });

  test('a mark has at most 255 bytes and names the owner', () => {
    expect(aliasOf(names, uid)).toBe(`flintlock:abcd:uid=${uid}`);
    expect(tableName(names)).toBe('flintlock_abcd');
  });
});

describe('MAC addresses', () => {
  test('what is made is local, of one device, and can be read', () => {
    for (const chance of [0, 0.25, 0.999_999]) {
      const mac = makeMac(() => chance);
      expect(parseMac(mac)).toBe(mac);
      const first = Number.parseInt(mac.slice(0, 2), 16);
      expect([first & 1, first & 2]).toEqual([0, 2]);
    }
  });

  test('both ways to write one are one', () => {
    expect(parseMac('52-54-00-AA-bb-CC')).toBe('52:54:00:aa:bb:cc');
  });
});

describe('labels', () => {
  test('right ones have nothing wrong', () => {
    expect(checkLabelKey('example.com/name')).toBeUndefined();
    expect(checkLabelValue('')).toBeUndefined();
  });

  test('a text of any length is shown short and in one line', () => {
    expect(shorten(`a\n\u001b\0${'x'.repeat(1_000)}`)).toMatch(/^a\?\?\?x{73}\.\.\.$/);
  });

  test('a text is not cut within a character', () => {
    expect(shorten(`${'x'.repeat(76)}${'😀'.repeat(10)}`).isWellFormed()).toBe(true);
    expect(shorten('\ud800'.repeat(3)).isWellFormed()).toBe(true);
  });
});

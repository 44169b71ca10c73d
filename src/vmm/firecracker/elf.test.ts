import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ELF_HEADERS, isDynamic } from './elf.ts';

/** @param types - of its program headers */
function program(types: readonly number[], changes: Readonly<Record<number, number>> = {}): Uint8Array {
  const bytes = Buffer.alloc(64 + types.length * 56);
  bytes.write('\x7fELF\x02\x01\x01', 'latin1');
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(types.length, 56);
  types.forEach((type, i) => {
    bytes.writeUInt32LE(type, 64 + i * 56);
  });
  for (const [at, byte] of Object.entries(changes)) bytes[Number(at)] = byte;
  return bytes;
}

test.each([
  ['that names a dynamic linker', program([6, 3, 1]), true],
  ['that is static', program([1, 1, 2]), false],
  ['of 32 bits', program([3], { 4: 1 }), false],
  ['of the other byte order', program([3], { 5: 2 }), false],
  ['whose headers lie beyond what was read', program([1, 3]).subarray(0, 64 + 56), false],
  ['whose headers lie far beyond', program([3], { 39: 0x7f }), false],
  ['that is a script', Buffer.from('#!/bin/sh\n'.padEnd(100)), false],
  ['that is empty', new Uint8Array(), false],
])('a program %s: %#', (_, bytes, expected) => {
  expect(isDynamic(bytes)).toBe(expected);
});

test('this Node is told from the static programs that a jail can run', () => {
  expect(isDynamic(readFileSync(process.execPath).subarray(0, ELF_HEADERS))).toBe(true);
});

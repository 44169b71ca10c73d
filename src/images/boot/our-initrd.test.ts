import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { takesProcess } from './our-initrd.ts';

const named = (name: string): Uint8Array =>
  Buffer.concat([Buffer.from([0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3]), Buffer.from(`${name}\0`)]);

test.each([
  [named('flintlock-initrd.1'), true],
  [named('flintlock-initrd.10'), false],
  [named('initrd'), false],
  [gzipSync('flintlock-initrd.1'), false],
  [Buffer.from('070701'), false],
  [new Uint8Array(), false],
])('%s', (head, takes) => {
  expect(takesProcess(head)).toBe(takes);
});

import { expect, test } from 'vitest';
import { TRIAL_WORDS, trialKernel } from './trial-kernel.ts';

/** That it boots is what the trial shows on every host: here, that each number in it points at what it should. */
test('the headers, the note and the code agree about where things are', () => {
  const file = Buffer.from(trialKernel());
  const loadAt = Number(file.readBigUInt64LE(64 + 24));
  const entry = Number(file.readBigUInt64LE(24));
  const note = Number(file.readBigUInt64LE(64 + 56 + 8));
  expect(Number(file.readBigUInt64LE(64 + 32))).toBe(file.length);
  expect(file.toString('latin1', note + 12, note + 16)).toBe('Xen\0');
  expect(Number(file.readBigUInt64LE(note + 16))).toBe(entry);
  const code = entry - loadAt;
  const words = file.readUInt32LE(code + 1) - loadAt;
  expect(file.toString('latin1', words)).toBe(`${TRIAL_WORDS}\n\0`);
  const lidt = file.indexOf(Buffer.from('0f011d', 'hex'), code);
  expect(file.readUInt32LE(lidt + 3) - loadAt).toBe(words - 6);
});

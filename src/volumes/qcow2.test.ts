import { expect, test } from 'vitest';
import { overlayOf } from './qcow2.ts';

test('an overlay takes what is written of it, whatever it stands for', () => {
  for (const [sizeBytes, clusters] of [
    [2 ** 20, 4],
    [2 ** 42, 4],
    [2 ** 42 + 512, 5],
    [2 ** 44, 7],
  ] as const) {
    const { sizeBytes: length, pieces } = overlayOf('/images/golden.ext4', sizeBytes);
    expect(length).toBe(clusters * 65_536);
    expect(pieces.reduce((sum, { bytes }) => sum + bytes.length, 0)).toBeLessThan(200);
    expect(Buffer.from(pieces[0]?.bytes ?? []).readBigUInt64BE(24)).toBe(BigInt(sizeBytes));
  }
});

test('a path is counted in bytes, and one for which there is no room is refused', () => {
  const head = Buffer.from(overlayOf('/bär', 2 ** 20).pieces[0]?.bytes ?? []);
  expect(head.subarray(-5).toString()).toBe('/bär');
  expect(head.readUInt32BE(16)).toBe(5);
  expect(() => overlayOf(`/${'ä'.repeat(511)}`, 2 ** 20)).not.toThrow();
  expect(() => overlayOf(`/${'ä'.repeat(512)}`, 2 ** 20)).toThrow('longer than 1023 bytes');
});

test.each([0, -512, 513, 1.5, Number.NaN, 2 ** 55])('no overlay of %s bytes', (sizeBytes) => {
  expect(() => overlayOf('/g', sizeBytes)).toThrow(/Cannot make a qcow2 overlay/);
});

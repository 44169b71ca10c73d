import { expect, test } from 'vitest';
import { packCpio } from './cpio.ts';

test('each file stands behind its directories, whole words long, and the end is told', () => {
  const archive = packCpio([
    ['a/b', new TextEncoder().encode('12345')],
    ['ö', new Uint8Array()],
  ]);
  expect(archive.length % 4).toBe(0);
  const text = Buffer.from(archive).toString();
  expect(text.match(/070701/g)).toHaveLength(4);
  expect([text.indexOf('a\0'), text.indexOf('a/b\0'), text.indexOf('12345'), text.indexOf('ö\0')]).toSatisfy(
    (places: number[]) => places.every((place, i) => place > (places[i - 1] ?? 0)),
  );
  // Two letters and a NUL, in a byte more.
  expect(text.slice(text.indexOf('ö\0') - 16, text.indexOf('ö\0') - 8)).toBe('00000003');
  expect(text).toContain('TRAILER!!!\0');
});

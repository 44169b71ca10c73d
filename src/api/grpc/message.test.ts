import fc from 'fast-check';
import { expect, test } from 'vitest';
import { encodeMessage, mendMessage } from './message.ts';

test('only what must be encoded is', () => {
  expect(encodeMessage('microVM a/b: "x", 1=2 not found?')).toBe('microVM a/b: "x", 1=2 not found?');
  expect(encodeMessage('ü 100 %\n')).toBe('%C3%BC 100 %25%0A');
  expect(encodeMessage('%'.repeat(30_000))).toBe('%25'.repeat(6_666));
});

test('any text comes out as it went in, and is one that a header can carry', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(0x10ffff), { maxLength: 30 }), (points) => {
      const text = String.fromCodePoint(...points);
      const sent = encodeMessage(text);
      return /^[\x20-\x7e]*$/.test(sent) && decodeURIComponent(sent) === text.toWellFormed();
    }),
  );
});

test('what the library has encoded is mended', () => {
  const mended = (text: string): string | null => {
    const trailer = new Headers({ 'grpc-message': text });
    mendMessage(trailer);
    return trailer.get('grpc-message');
  };
  expect(mended(encodeURIComponent('microVM a/b: ü 5 % not found'))).toBe('microVM a/b: %C3%BC 5 %25 not found');
  expect(mended('half 5%')).toBe('half 5%25');
  const none = new Headers();
  mendMessage(none);
  expect([...none]).toEqual([]);
});

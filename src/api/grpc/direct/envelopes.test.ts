import { Code } from '@connectrpc/connect';
import { describe, expect, test } from 'vitest';
import { Envelopes } from './envelopes.ts';

function envelope(text: string, flags = 0): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(text.length, 1);
  return Buffer.concat([head, Buffer.from(text)]);
}

function taken(envelopes: Envelopes): string[] {
  const all: string[] = [];
  for (let bytes = envelopes.take(); bytes; bytes = envelopes.take()) all.push(Buffer.from(bytes).toString());
  return all;
}

describe('the messages of a request', () => {
  test('come out whole, however they are cut', () => {
    const bytes = Buffer.concat([envelope('one'), envelope(''), envelope('three')]);
    for (let length = 1; length <= bytes.length; length++) {
      const envelopes = new Envelopes(5);
      const all: string[] = [];
      for (let from = 0; from < bytes.length; from += length) {
        envelopes.add(bytes.subarray(from, from + length));
        all.push(...taken(envelopes));
      }
      expect(all).toEqual(['one', '', 'three']);
      expect(envelopes.bytes).toBe(0);
    }
  });

  test('tell how long the next is once its head is there, also behind another', () => {
    const envelopes = new Envelopes(100);
    envelopes.add(Buffer.concat([envelope('one'), envelope('x'.repeat(50)).subarray(0, 7)]));
    expect(taken(envelopes)).toEqual(['one']);
    expect(envelopes.neededBytes).toBe(55);
    expect(envelopes.bytes).toBe(7);
  });

  test('that are too long are refused by their head, first or not', () => {
    const long = envelope('123456').subarray(0, 5);
    expect(() => new Envelopes(5).add(long)).toThrow(expect.objectContaining({ code: Code.ResourceExhausted }));
    const envelopes = new Envelopes(5);
    envelopes.add(Buffer.concat([envelope('one'), long]));
    expect(() => taken(envelopes)).toThrow(/has 6 bytes/);
  });

  test('that say they are compressed are refused', () => {
    const envelopes = new Envelopes(5);
    envelopes.add(envelope('one', 1));
    expect(() => envelopes.take()).toThrow(expect.objectContaining({ code: Code.InvalidArgument }));
  });
});

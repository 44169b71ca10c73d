import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PIECE_BYTES } from '../../flow/flow.ts';
import { inPieces } from './pieces.ts';

/** What was framed: each message behind a byte and its length. */
function unframed(bytes: Buffer): Buffer[] {
  const messages: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    expect(bytes[at]).toBe(0);
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    messages.push(bytes.subarray(at + 5, end));
    at = end;
  }
  return messages;
}

test('messages come out as they went in, in pieces that are full but for the last', () => {
  const part = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    // About a piece, and several.
    fc
      .tuple(fc.integer({ min: -6, max: 6 }), fc.constantFrom(1, 2, 3))
      .map(([more, times]) => new Uint8Array(times * PIECE_BYTES + more).fill(times)),
  );
  fc.assert(
    fc.property(fc.array(fc.array(part, { maxLength: 4 }), { maxLength: 8 }), (messages) => {
      const pieces = [...inPieces(messages)];
      for (const piece of pieces.slice(0, -1)) expect(piece).toHaveLength(PIECE_BYTES);
      expect(pieces.at(-1)?.length ?? 1).toBeGreaterThan(0);
      expect(pieces.at(-1)?.length ?? 1).toBeLessThanOrEqual(PIECE_BYTES);
      expect(unframed(Buffer.concat(pieces)).map(String)).toEqual(
        messages.map((parts) => String(Buffer.concat(parts))),
      );
    }),
    { numRuns: 50 },
  );
});

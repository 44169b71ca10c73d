/**
 * The Huffman code of HTTP/2's headers, for printable ASCII: nothing else stands in a header of gRPC.
 *
 * The code is canonical: symbols of one length follow each other, and each length goes on where the one before ended.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7541#appendix-B
 */
const BY_LENGTH: readonly (readonly [bits: number, symbols: string])[] = [
  [5, '012aceiost'],
  [6, ' %-./3456789=A_bdfghlmnpru'],
  [7, ':BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz'],
  [8, '&*,;XZ'],
  [10, '!"()?'],
  [11, "'+|"],
  [12, '#>'],
  [13, '\0$@[]~'],
  [14, '^}'],
  [15, '<`{'],
  [19, '\\'],
];

const byCode = new Map<string, string>();
let next = 0;
let bitsBefore = 0;
for (const [bits, symbols] of BY_LENGTH) {
  next <<= bits - bitsBefore;
  bitsBefore = bits;
  for (const symbol of symbols) byCode.set(`${bits}:${next++}`, symbol);
}
const MOST_BITS = bitsBefore;
/** What fills the last byte is the begin of a code that is all ones. */
const MOST_PADDING = 7;

/** @throws RangeError of what is no printable ASCII in that code */
export function unpacked(bytes: Uint8Array): string {
  let text = '';
  let code = 0;
  let bits = 0;
  for (const byte of bytes)
    for (let mask = 0x80; mask > 0; mask >>= 1) {
      code = (code << 1) | (byte & mask ? 1 : 0);
      bits++;
      const symbol = byCode.get(`${bits}:${code}`);
      if (symbol !== undefined) {
        text += symbol;
        code = 0;
        bits = 0;
      } else if (bits > MOST_BITS) throw new RangeError('a header holds what no header of gRPC does');
    }
  if (bits > MOST_PADDING || code !== 2 ** bits - 1) throw new RangeError('a header ends within a symbol');
  return text;
}

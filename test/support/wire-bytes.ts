/**
 * A protobuf message as tags and values, without any description: what a
 * client sends is written down as its bytes are. An array is a message, given
 * several times for a repeated field.
 */
export type Wire = readonly (readonly [tag: number, value: string | number | boolean | Wire])[];

export function wireBytes(message: Wire): Uint8Array {
  const bytes: number[] = [];
  for (const [tag, value] of message)
    if (typeof value === 'number' || typeof value === 'boolean')
      bytes.push(...varint(tag << 3), ...varint(Number(value)));
    else {
      const inner = typeof value === 'string' ? Buffer.from(value) : wireBytes(value);
      bytes.push(...varint((tag << 3) | 2), ...varint(inner.byteLength), ...inner);
    }
  return Uint8Array.from(bytes);
}

/** An entry of a map of texts. */
export const entry = (key: string, value: string): Wire => [
  [1, key],
  [2, value],
];

function varint(value: number): readonly number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) | 128);
  }
}

/**
 * All of one microVM's metadata together, decoded, with its keys: bytes. It
 * lies in the record, and so in every event of the record.
 */
export const MAX_METADATA_BYTES = 1_048_576;
/** `meta-data` is taken apart as YAML, for each guest that asks: bytes. */
export const MAX_META_DATA_BYTES = 16_384;

/** A key is a part of a path, and a file's name on a FAT disk. */
const KEY = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9_-])?$/;
export const isMetadataKey = (key: string): boolean => KEY.test(key);

/** RFC 4648 with padding; line ends, as base64(1) makes them, are passed over. */
export function isBase64(text: string): boolean {
  const plain = withoutLineEnds(text);
  return plain.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(plain);
}

/** Bytes of a value once decoded. */
export function decodedLength(text: string): number {
  const plain = withoutLineEnds(text);
  return (plain.length / 4) * 3 - (plain.endsWith('==') ? 2 : plain.endsWith('=') ? 1 : 0);
}

export const withoutLineEnds = (text: string): string => text.replaceAll(/[\r\n]/g, '');

import { shorten } from './labels.ts';
import type { Metadata, MetadataRef, Spec } from './spec.ts';

/** All of one microVM's metadata together, decoded, with its keys: bytes. */
export const MAX_METADATA_BYTES = 1_048_576;
/** `meta-data` is taken apart as YAML, for each guest that asks: bytes. */
export const MAX_META_DATA_BYTES = 16_384;

/** What the disk with metadata is called beside the volumes. */
export const CIDATA_DISK = 'cidata';

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

/** How a spec names metadata that its write of this generation brings; undefined where there is none. */
export function metadataRef(metadata: Metadata, generation: number): MetadataRef | undefined {
  const texts = Object.entries(metadata).flat();
  if (texts.length === 0) return undefined;
  return { generation, bytes: texts.reduce((sum, text) => sum + new TextEncoder().encode(text).byteLength, 0) };
}

export type MetadataSpec = Pick<Spec, 'interfaces' | 'metadataRef' | 'metadataAnyhow'>;

/**
 * How a guest has its metadata: from the service, where one of its interfaces
 * may ask; from a disk, where there is any and none may, or it is to be there anyhow.
 */
export function metadataBy({ interfaces, metadataRef, metadataAnyhow }: MetadataSpec): {
  readonly service: boolean;
  readonly disk: boolean;
} {
  const service = interfaces.some((nic) => nic.allowMetadata);
  return { service, disk: metadataRef !== undefined && (!service || metadataAnyhow === true) };
}

/**
 * What is wrong with a spec's metadata, in API field names.
 * @param isRawTaken - a value that is no base64 is one all the same
 */
export function checkMetadata(
  metadata: Metadata,
  bad: (field: string, description: string) => void,
  isRawTaken = false,
): void {
  let total = 0;
  const names = new Map<string, string>();
  for (const [key, value] of Object.entries(metadata)) {
    const field = `metadata[${shorten(key)}]`;
    const before = names.get(key.toLowerCase());
    if (!isMetadataKey(key))
      bad(
        field,
        'the key must have at most 128 letters, digits, "-", "_", "." and begin and end with none of "." and "-"',
      );
    else if (before !== undefined)
      bad(field, `differs from "${shorten(before)}" by upper and lower case alone: a FAT disk cannot hold both`);
    names.set(key.toLowerCase(), key);
    if (isBase64(value) || isRawTaken) {
      const bytes = isBase64(value) ? decodedLength(value) : new TextEncoder().encode(value).byteLength;
      total += key.length + bytes;
      if (key === 'meta-data' && bytes > MAX_META_DATA_BYTES)
        bad(field, `has ${bytes} bytes: at most ${MAX_META_DATA_BYTES}; what is longer belongs in user-data`);
      // What it is may be a secret: it is not quoted.
    } else bad(field, 'is no base64: encode it, e.g. with `base64 -w0 FILE`');
  }
  if (total > MAX_METADATA_BYTES)
    bad('metadata', `has ${total} bytes, decoded and with its keys: at most ${MAX_METADATA_BYTES}`);
}

import type { Violation } from './fault.ts';
import { shorten } from './labels.ts';
import type { Metadata, MetadataRef, Spec } from './spec.ts';

/** All of one microVM's metadata together, decoded, with its keys: bytes. */
export const MAX_METADATA_BYTES = 1_048_576;
/** `meta-data` is taken apart as YAML, for each guest that asks: bytes. */
export const MAX_META_DATA_BYTES = 16_384;

/**
 * The same where the VMM answers itself, which keeps it in its own memory: bytes.
 * @see https://github.com/firecracker-microvm/firecracker/blob/main/docs/mmds/mmds-user-guide.md `--mmds-size-limit`
 */
export const MAX_MMDS_BYTES = 51_200;

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

export type MetadataSpec = Pick<Spec, 'interfaces' | 'metadataRef' | 'metadataAnyhow'> &
  Partial<Pick<Spec, 'providerOptions'>>;

/** Versions of what a VMM answers itself. The second one wants a token with each question, which cloud-init does not know of. */
export type MmdsVersion = 'v1' | 'v2';

/** By whom a guest is told of its metadata. */
export interface MetadataWays {
  /** The daemon, on its own network. */
  readonly service: boolean;
  /** The VMM itself. */
  readonly mmds?: MmdsVersion;
  /** A disk. */
  readonly disk: boolean;
}

/**
 * How a guest has its metadata: from the service or its VMM, where one of its interfaces may ask; from a disk, where there is
 * any and cloud-init cannot ask, or it is to be there anyhow.
 */
export function metadataBy({ interfaces, metadataRef, metadataAnyhow, providerOptions }: MetadataSpec): MetadataWays {
  const asks = interfaces.some((nic) => nic.allowMetadata);
  const mmds = asks ? mmdsOf(providerOptions) : undefined;
  return {
    service: asks && mmds === undefined,
    disk: metadataRef !== undefined && (!asks || metadataAnyhow === true || mmds === 'v2'),
    ...(mmds !== undefined && { mmds }),
  };
}

/** In which version a spec's options have the VMM answer; undefined: not at all. */
export function mmdsOf({ mmds }: Spec['providerOptions'] = {}): MmdsVersion | undefined {
  return mmds === 'v1' || mmds === 'v2' ? mmds : undefined;
}

/** What a VMM is to answer and nobody may ask for. */
export function unaskedMmds({ interfaces, providerOptions }: MetadataSpec): readonly Violation[] {
  const version = mmdsOf(providerOptions);
  if (version === undefined || interfaces.some((nic) => nic.allowMetadata)) return [];
  const description = `is ${version}, and no interface may ask: set allow_metadata_req on one of them`;
  return [{ field: 'provider_options[mmds]', description }];
}

/**
 * What is wrong with a spec's metadata, in API field names.
 * @param isRawTaken - a value that is no base64 is one all the same
 * @param byMmds - it is told as text, by a VMM
 */
export function checkMetadata(
  metadata: Metadata,
  bad: (field: string, description: string) => void,
  isRawTaken = false,
  byMmds = false,
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
      if (byMmds && isBase64(value) && !isText(value))
        bad(field, `is no text in UTF-8, and provider_options[mmds] tells nothing else: ${WITHOUT_MMDS}`);
      // What it is may be a secret: it is not quoted.
    } else bad(field, 'is no base64: encode it, e.g. with `base64 -w0 FILE`');
  }
  if (total > MAX_METADATA_BYTES)
    bad('metadata', `has ${total} bytes, decoded and with its keys: at most ${MAX_METADATA_BYTES}`);
  else if (byMmds && total > MAX_MMDS_BYTES)
    bad(
      'metadata',
      `has ${total} bytes, decoded and with its keys: at most ${MAX_MMDS_BYTES} with provider_options[mmds]; ${WITHOUT_MMDS}`,
    );
}

const WITHOUT_MMDS = "leave that out for the daemon's own service";

/** @param value - in base64 */
function isText(value: string): boolean {
  try {
    const bytes = Uint8Array.from(atob(withoutLineEnds(value)), (char) => char.charCodeAt(0));
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

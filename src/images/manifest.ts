import { DIGEST } from './reference.ts';

/** What an image's JSON says, as far as it is of use here. Everything in it is hostile input. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  /** Bytes, as claimed. */
  readonly size: number;
  /** Name in a layout's `index.json`. */
  readonly name?: string;
  readonly platform?: Platform;
}

export interface Platform {
  readonly os: string;
  readonly architecture: string;
}

export type Manifest =
  | { readonly is: 'index'; readonly manifests: readonly Descriptor[] }
  | { readonly is: 'image'; readonly config: Descriptor; readonly layers: readonly Descriptor[] };

/** The annotation that names an entry of `index.json`. @see https://specs.opencontainers.org/image-spec/annotations/ */
const REF_NAME = 'org.opencontainers.image.ref.name';

/**
 * Reads a manifest or an index, the OCI's or Docker's.
 * @throws Error when it is neither; its message is a clause
 * @see https://specs.opencontainers.org/image-spec/manifest/
 */
export function parseManifest(text: string): Manifest {
  const json = object(parse(text), 'manifest');
  if (Array.isArray(json.manifests)) return { is: 'index', manifests: json.manifests.map(descriptor) };
  if (json.config !== undefined && Array.isArray(json.layers))
    return { is: 'image', config: descriptor(json.config), layers: json.layers.map(descriptor) };
  throw new Error(
    json.schemaVersion === 1
      ? "it has Docker's manifest of version 1, which is no longer read: push it again with a newer tool"
      : 'its manifest is neither that of an image nor an index of images',
  );
}

/** For whom an image is, as its configuration says; empty where it says nothing. @throws Error */
export function parsePlatform(text: string): Platform {
  return platform(object(parse(text), 'configuration'));
}

/** Bytes that a pull of the image moves, as far as the manifest claims them. */
export const layerBytes = (layers: readonly Descriptor[]): number => layers.reduce((sum, layer) => sum + layer.size, 0);

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('it holds JSON that cannot be read'); // without the text: it may be any file
  }
}

function object(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`its ${what} is no object`);
  return value as Readonly<Record<string, unknown>>;
}

function descriptor(value: unknown): Descriptor {
  const json = object(value, 'manifest');
  const { mediaType, digest, size } = json;
  if (typeof digest !== 'string' || !DIGEST.test(digest))
    throw new Error('its manifest has a digest that is no sha256');
  const annotations = json.annotations === undefined ? {} : object(json.annotations, 'manifest');
  const name = annotations[REF_NAME];
  return {
    mediaType: typeof mediaType === 'string' ? mediaType : '',
    digest,
    size: typeof size === 'number' && Number.isSafeInteger(size) && size >= 0 ? size : 0,
    ...(typeof name === 'string' && { name }),
    ...(json.platform !== undefined && { platform: platform(object(json.platform, 'manifest')) }),
  };
}

function platform(json: Readonly<Record<string, unknown>>): Platform {
  const word = (value: unknown): string =>
    typeof value === 'string' && /^[a-z0-9_.-]{1,32}$/i.test(value) ? value : '';
  return { os: word(json.os), architecture: word(json.architecture) };
}

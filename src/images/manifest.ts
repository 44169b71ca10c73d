import type { ImageSays } from '../domain/process.ts';
import { DIGEST } from '../unpack/digest.ts';
import { parseProcess } from './image-process.ts';

/** What an image's JSON says, as far as it is of use here. Everything in it is hostile input. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  /** Bytes, as claimed; 0: nothing is claimed. */
  readonly size: number;
  /** Names in a layout's `index.json`. */
  readonly names: readonly string[];
  /** Name of an artifact's file. */
  readonly title?: string;
  readonly platform?: Platform;
  /** Says something of an image, and is none: an attestation or a signature beside it. */
  readonly isBeside: boolean;
  /** Said to be no image: what `oras attach` puts beside one, too. */
  readonly isArtifact: boolean;
  /** The bytes may be had elsewhere, and perhaps only there. */
  readonly isElsewhere: boolean;
}

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  /** Of the CPU, where there are several. */
  readonly variant?: string;
}

/** Of one image, or of anything else that is stored as one: see `artifact.ts`. */
export interface ImageManifest {
  readonly is: 'image';
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly artifactType: string;
}

export type Manifest = { readonly is: 'index'; readonly manifests: readonly Descriptor[] } | ImageManifest;

/** What a configuration says, as far as it is of use here. */
export interface ImageConfig {
  /** For whom the image is; empty where it says nothing. */
  readonly platform: Platform;
  /** Of each layer, unpacked. */
  readonly diffIds: readonly string[];
  /** Absent: nothing. */
  readonly process?: ImageSays;
}

/** The media types of what an image says of itself; of old nothing was said. */
export const IMAGE_CONFIG = /^(application\/vnd\.(oci\.image\.config\.v1\+json|docker\.container\.image\.v1\+json))?$/;

/** Whether it is said for whom: an image of data alone (`crane append` without a base) need not. */
export const saysPlatform = ({ os, architecture }: Platform): boolean => os !== '' || architecture !== '';

/** Annotations that name an entry of `index.json`. @see https://specs.opencontainers.org/image-spec/annotations/ */
const NAMES = ['io.containerd.image.name', 'org.opencontainers.image.ref.name'];
const TITLE = 'org.opencontainers.image.title';
/** BuildKit's. @see https://docs.docker.com/build/metadata/attestations/attestation-storage/ */
const REFERENCE_TYPE = 'vnd.docker.reference.type';
/** What cosign calls the things that it puts beside an image. */
const COSIGN = /sha(?:256-[a-f0-9]{64}|512-[a-f0-9]{128})\.(sig|att|sbom)$/;
/** An index in an index is some way to say things; more of it is none. */
export const MAX_INDEX_DEPTH = 4;

/**
 * Reads a manifest or an index, the OCI's or Docker's.
 * @throws Error when it is neither; its message is a clause
 * @see https://specs.opencontainers.org/image-spec/manifest/
 */
export function parseManifest(text: string): Manifest {
  const json = object(parse(text), 'manifest');
  const artifactType = typeof json.artifactType === 'string' ? json.artifactType : '';
  if (Array.isArray(json.manifests)) return { is: 'index', manifests: json.manifests.map(descriptor) };
  if (json.config !== undefined && Array.isArray(json.layers))
    return { is: 'image', config: descriptor(json.config), layers: json.layers.map(descriptor), artifactType };
  // Of artifacts, before they were stored as images.
  if (Array.isArray(json.blobs) && artifactType !== '')
    return { is: 'image', config: NO_CONFIG, layers: json.blobs.map(descriptor), artifactType };
  throw new Error(
    json.schemaVersion === 1
      ? "it has Docker's manifest of version 1, which is no longer read: push it again with a newer tool"
      : 'its manifest is neither that of an image nor an index of images',
  );
}

const NO_CONFIG: Descriptor = {
  ...{ mediaType: 'application/vnd.oci.empty.v1+json', digest: `sha256:${'0'.repeat(64)}`, size: 0 },
  ...{ names: [], isBeside: false, isArtifact: false, isElsewhere: false },
};

/** Reads the configuration of an image, the OCI's or Docker's. @throws Error; its message is a clause */
export function parseConfig(text: string): ImageConfig {
  const json = object(parse(text), 'configuration');
  const rootfs = json.rootfs === undefined ? {} : object(json.rootfs, 'configuration');
  const diffIds: unknown = rootfs.diff_ids ?? [];
  if (!Array.isArray(diffIds) || !diffIds.every((id): id is string => typeof id === 'string' && DIGEST.test(id)))
    throw new Error('its configuration has diff_ids that are neither sha256 nor sha512');
  const process = parseProcess(json.config);
  return { platform: platform(json), diffIds, ...(process && { process }) };
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
    throw new Error('its manifest has a digest that is neither sha256 nor sha512');
  const annotations =
    json.annotations === undefined || json.annotations === null ? {} : object(json.annotations, 'manifest');
  const names = NAMES.flatMap((key) => {
    const name = annotations[key];
    return typeof name === 'string' && name !== '' ? [name] : [];
  });
  const title = annotations[TITLE];
  const of =
    json.platform === undefined || json.platform === null ? undefined : platform(object(json.platform, 'manifest'));
  const type = typeof mediaType === 'string' ? mediaType : '';
  return {
    mediaType: type,
    digest,
    size: claimed(size),
    names,
    ...(typeof title === 'string' && title !== '' && { title }),
    // crane writes the words and nothing in them, of what is for any.
    ...(of && saysPlatform(of) && { platform: of }),
    isBeside:
      annotations[REFERENCE_TYPE] !== undefined ||
      (of?.os === 'unknown' && of.architecture === 'unknown') ||
      names.some((name) => COSIGN.test(name)),
    // crane says of images what their configuration is of.
    isArtifact: typeof json.artifactType === 'string' && !IMAGE_CONFIG.test(json.artifactType),
    isElsewhere: Array.isArray(json.urls) && json.urls.length > 0,
  };
}

function claimed(size: unknown): number {
  if (size === undefined || size === null) return 0;
  if (typeof size === 'number' && Number.isSafeInteger(size) && size >= 0) return size;
  throw new Error('its manifest has a size that is none');
}

function platform(json: Readonly<Record<string, unknown>>): Platform {
  const word = (value: unknown): string =>
    typeof value === 'string' && /^[a-z0-9_.-]{1,32}$/i.test(value) ? value : '';
  const variant = word(json.variant);
  const said = word(json.architecture).toLowerCase();
  const architecture = ALSO_CALLED[said] ?? said;
  // As containerd reads it: a CPU alone is one of this system.
  const os = word(json.os).toLowerCase() || (architecture === '' ? '' : 'linux');
  return { os, architecture, ...(variant !== '' && { variant }) };
}

/** CPUs by other names than Go's, which images should have. @see https://github.com/containerd/platforms */
const ALSO_CALLED: Readonly<Record<string, string>> = {
  ...{ x86_64: 'amd64', 'x86-64': 'amd64', aarch64: 'arm64' },
  ...{ i386: '386', i486: '386', i586: '386', i686: '386' },
};

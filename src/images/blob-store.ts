import type { Files } from '../ports/host.ts';
import { digestOf } from '../unpack/digest.ts';
import type { Blob } from '../unpack/job.ts';
import { MAX_MANIFEST_BYTES, readIndex, readRegular } from './layout.ts';
import type { Descriptor } from './manifest.ts';

/** Where the parts of images lie. What is read is hostile; errors are clauses. */
export interface BlobStore {
  /** E.g. "the layout at /srv/x", for messages. */
  readonly what: string;
  /** The images that it names. */
  entries(): Promise<readonly Descriptor[]>;
  /** A small part, as text, checked against its digest; undefined where it is not there. */
  text(digest: string): Promise<string | undefined>;
  /** Where a part lies, to be checked by whoever reads it; undefined where it is not there. */
  find(digest: string): Promise<Blob | undefined>;
}

/** A directory of OCI layout. @see https://specs.opencontainers.org/image-spec/image-layout/ */
export function layoutStore(files: Files, directory: string): BlobStore {
  const pathOf = (digest: string): string => `${directory}/blobs/${digest.replace(':', '/')}`;
  return {
    what: `the layout at ${directory}`,
    entries: async () => (await readIndex(files, directory)) ?? [],
    text: async (digest) => checked(await readRegular(files, pathOf(digest)), digest),
    find: (digest) => findFile(files, pathOf(digest), digest),
  };
}

/** What `skopeo copy … dir:` wrote: each part under the hex digits of its digest, the manifest as it came. */
export function copiedStore(files: Files, directory: string): BlobStore {
  const pathOf = (digest: string): string => `${directory}/${digest.replace(/^sha\d+:/, '')}`;
  return {
    what: 'what was copied',
    entries: async () => [],
    text: async (digest) => checked(await readRegular(files, pathOf(digest)), digest),
    find: (digest) => findFile(files, pathOf(digest), digest),
  };
}

async function findFile(files: Files, path: string, digest: string): Promise<Blob | undefined> {
  const info = await files.stat(path);
  if (!info) return undefined;
  if (info.kind !== 'file') throw new Error('a part of its layout is no regular file');
  return { path, offset: 0, size: info.sizeBytes, digest };
}

/**
 * It must be what its digest says: under that digest what it leads to is
 * kept, for whoever asks for the same one elsewhere.
 */
export function checked(data: Uint8Array | undefined, digest: string): string | undefined {
  if (data === undefined) return undefined;
  if (data.length > MAX_MANIFEST_BYTES) throw new Error('a manifest in it is larger than 4 MiB');
  if (digestOf(data, digest) !== digest) throw new Error(`a part of it is not what its digest says (${digest})`);
  return new TextDecoder().decode(data);
}

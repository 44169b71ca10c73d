import { createHash } from 'node:crypto';
import type { Files } from '../ports/host.ts';
import { type Descriptor, type Manifest, parseManifest } from './manifest.ts';

/** More than any manifest may have: registries take 4 MiB. */
export const MAX_MANIFEST_BYTES = 4 << 20;

/**
 * The images that a directory of OCI layout names; undefined where there is no layout.
 * @throws Error when its `index.json` cannot be read; the message is a clause
 * @see https://specs.opencontainers.org/image-spec/image-layout/
 */
export async function readIndex(files: Files, directory: string): Promise<readonly Descriptor[] | undefined> {
  const data = await readRegular(files, `${directory}/index.json`);
  if (data === undefined) return undefined;
  const index = parseManifest(new TextDecoder().decode(data));
  if (index.is !== 'index') throw new Error('its index.json is no index');
  return index.manifests;
}

/** The manifest or index of a digest; undefined where the layout has it not. @throws Error as {@link readIndex} */
export async function readManifest(files: Files, directory: string, digest: string): Promise<Manifest | undefined> {
  const text = await readBlob(files, directory, digest);
  return text === undefined ? undefined : parseManifest(text);
}

/**
 * A small blob, as text. It must be what its digest says: under that digest
 * what it leads to is kept, for whoever asks for the same one elsewhere.
 * @throws Error as {@link readIndex}
 */
export async function readBlob(files: Files, directory: string, digest: string): Promise<string | undefined> {
  const data = await readRegular(files, `${directory}/blobs/${digest.replace(':', '/')}`);
  if (data === undefined) return undefined;
  if (`sha256:${createHash('sha256').update(data).digest('hex')}` !== digest)
    throw new Error(`a part of it is not what its digest says (${digest})`);
  return new TextDecoder().decode(data);
}

/** A symlink is not followed: it could lead out of the allowed directories. A FIFO would never end. */
async function readRegular(files: Files, path: string): Promise<Uint8Array | undefined> {
  const info = await files.stat(path);
  if (!info) return undefined;
  if (info.kind !== 'file') throw new Error('a part of its layout is no regular file');
  if (info.sizeBytes > MAX_MANIFEST_BYTES) throw new Error('a manifest in it is larger than 4 MiB');
  return files.read(path, { maxBytes: MAX_MANIFEST_BYTES });
}

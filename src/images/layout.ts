import type { Files } from '../ports/host.ts';
import { type Descriptor, parseManifest } from './manifest.ts';

/** More than any manifest may have: registries take 4 MiB. */
export const MAX_MANIFEST_BYTES = 4 << 20;

/**
 * The images that a directory of OCI layout names; undefined where there is no layout.
 * @throws Error when its `index.json` cannot be read; the message is a clause
 * @see https://specs.opencontainers.org/image-spec/image-layout/
 */
export async function readIndex(files: Files, directory: string): Promise<readonly Descriptor[] | undefined> {
  const data = await readRegular(files, `${directory}/index.json`);
  return data === undefined ? undefined : parseIndex(new TextDecoder().decode(data));
}

/** @throws Error as {@link readIndex} */
export function parseIndex(text: string): readonly Descriptor[] {
  const index = parseManifest(text);
  if (index.is !== 'index') throw new Error('its index.json is no index');
  return index.manifests;
}

/** A symlink is not followed: it could lead out of the allowed directories. A FIFO would never end. */
export async function readRegular(files: Files, path: string): Promise<Uint8Array | undefined> {
  const info = await files.stat(path);
  if (!info) return undefined;
  if (info.kind !== 'file') throw new Error('a part of its layout is no regular file');
  if (info.sizeBytes > MAX_MANIFEST_BYTES) throw new Error('a manifest in it is larger than 4 MiB');
  return files.read(path, { maxBytes: MAX_MANIFEST_BYTES });
}

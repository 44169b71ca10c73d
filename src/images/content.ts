import type { ImageSays } from '../domain/process.ts';
import type { Part } from '../unpack/job.ts';
import { artifactOf, titled, wrongLayer } from './artifact.ts';
import type { BlobStore } from './blob-store.ts';
import { asInvalidAsync, invalid, otherPlatform } from './image-faults.ts';
import { type Descriptor, type ImageManifest, type Platform, parseConfig, saysPlatform } from './manifest.ts';

/** What an image's tree is made of. */
export interface Content {
  readonly parts: readonly Part[];
  /** Empty for an artifact, and for an image that does not say. */
  readonly platform: Platform;
  readonly process?: ImageSays;
}

/**
 * What can be said of an image by its manifest alone, before any of it is fetched.
 * @returns what it is, where it is an artifact with files in it
 * @throws Fault ImageInvalid
 */
export function requireUsable(manifest: ImageManifest, name: string): string | undefined {
  const artifact = artifactOf(manifest);
  if (artifact !== undefined) {
    if (titled(manifest).length > 0) return artifact;
    throw invalid(name, `it is ${artifact}, and no image with files for a guest`);
  }
  for (const layer of manifest.layers) {
    const wrong = wrongLayer(layer);
    if (wrong !== undefined) throw invalid(name, wrong);
  }
  return undefined;
}

/** A layer that lies elsewhere: who makes the image decides then what we fetch, and from where. */
export function requireHere({ layers }: ImageManifest, name: string): void {
  const elsewhere = layers.find((layer) => layer.isElsewhere);
  if (elsewhere)
    throw invalid(
      name,
      `its layer ${elsewhere.digest} is not to be distributed and lies at another address, which is not fetched: push it with all its layers`,
    );
}

/** The parts of an image, where they lie. @throws Fault ImageInvalid */
export async function contentOf(
  store: BlobStore,
  manifest: ImageManifest,
  name: string,
  wanted: Platform,
): Promise<Content> {
  return asInvalidAsync(name, async () => {
    if (artifactOf(manifest) !== undefined) {
      const files = titled(manifest);
      const blobs = await Promise.all(files.map((file) => blobOf(store, file)));
      const parts = files.map(({ title }, i) => ({ is: 'file', name: title, blob: blobs[i] }) as const);
      return {
        parts: parts.flatMap(({ blob, ...part }) => (blob ? [{ ...part, blob }] : [])),
        platform: { os: '', architecture: '' },
      };
    }
    const text = await store.text(manifest.config.digest);
    if (text === undefined) throw new Error(`${store.what} has not its configuration ${manifest.config.digest}`);
    const { platform, diffIds, process } = parseConfig(text);
    const isOurs = platform.os === wanted.os && platform.architecture === wanted.architecture;
    if (saysPlatform(platform) && !isOurs) throw otherPlatform(name, [platform], wanted);
    if (diffIds.length !== manifest.layers.length)
      throw new Error(
        `it has ${manifest.layers.length} layers, and its configuration names ${diffIds.length} (diff_ids)`,
      );
    const parts: Part[] = [];
    for (const [i, layer] of manifest.layers.entries())
      parts.push({ is: 'layer', blob: await blobOf(store, layer), diffId: diffIds[i] ?? '' });
    return { parts, platform, ...(process && { process }) };
  });
}

async function blobOf(store: BlobStore, { digest, size, isElsewhere }: Descriptor): Promise<Part['blob']> {
  const blob = await store.find(digest);
  if (!blob)
    throw new Error(
      `its layer ${digest} is missing from ${store.what}${isElsewhere ? ' (it lies at another address, which is not fetched)' : ''}`,
    );
  if (size > 0 && size !== blob.size)
    throw new Error(`its layer ${digest} is of ${blob.size} bytes, and its manifest says ${size}`);
  return blob;
}

import { Fault } from '../domain/fault.ts';
import type { Clock } from '../ports/clock.ts';
import type { Files, Run } from '../ports/host.ts';
import { digestOf } from '../unpack/digest.ts';
import { MAGIC_BYTES, packingOf } from '../unpack/layer-packing.ts';
import { archiveStore } from './archive.ts';
import { artifactOf } from './artifact.ts';
import { type BlobStore, layoutStore } from './blob-store.ts';
import type { CachePaths } from './cache-paths.ts';
import { chooseEntry } from './choose-entry.ts';
import { expand } from './expand.ts';
import { explain, PullFault } from './failures.ts';
import { asInvalid, asInvalidAsync, invalid, otherPlatform } from './image-faults.ts';
import { MAX_MANIFEST_BYTES } from './layout.ts';
import {
  type Descriptor,
  type ImageManifest,
  MAX_INDEX_DEPTH,
  type Manifest,
  type Platform,
  parseConfig,
  parseManifest,
  saysPlatform,
} from './manifest.ts';
import { type LocalReference, nameOf, type Reference, type RegistryReference } from './reference.ts';
import type { Skopeo } from './skopeo.ts';

/** What a reference led to. */
export interface Resolved {
  readonly digest: string;
  readonly manifest: Manifest;
}

/** The image for a platform: the one that a reference led to, or one of its index. */
export interface Chosen {
  readonly digest: string;
  readonly manifest: ImageManifest;
}

/** As many layouts are remembered; then it begins anew. */
const MAX_LAYOUTS = 200;
/** Of an index that does not say for whom its images are, so many are looked at. */
const MAX_ASKED = 16;

export interface LookupOptions {
  readonly files: Files;
  readonly run: Run;
  readonly skopeo: Skopeo;
  readonly paths: CachePaths;
  readonly clock: Clock;
  /** Of this host. */
  readonly platform: Platform;
  readonly keepFreeBytes: number;
  readonly timeoutMs: number;
}

/** Finds out what references lead to. Faults: ImageNotFound, ImageInvalid, ImagePullFailed. */
export class Lookup {
  readonly #options: LookupOptions;
  /** What the names of this daemon's scratch directories begin with. */
  readonly scratchPrefix: string;
  #count = 0;
  readonly #layouts = new Map<string, { readonly stamp: string; readonly resolved: Resolved }>();

  constructor(options: LookupOptions) {
    this.scratchPrefix = `lookup-${options.clock.now()}-`;
    this.#options = options;
  }

  /** @param reference - a local one with its real path */
  async resolve(reference: Reference, signal: AbortSignal): Promise<Resolved> {
    const name = nameOf(reference);
    if (reference.from === 'oci') return this.#inLayout(reference, name, signal);
    if (reference.from !== 'registry') return this.#withScratch((at) => this.#local(reference, name, at, signal));
    const text = await this.#ask(reference, name, signal);
    const digest = digestOf(text, reference.digest);
    if (reference.digest !== undefined && reference.digest !== digest)
      throw new PullFault(
        'tool',
        `Cannot pull image "${name}": the registry sent a manifest whose digest is ${digest}`,
        { soon: true },
      );
    return { digest, manifest: asInvalid(name, () => parseManifest(text)) };
  }

  /**
   * The image for this host.
   * @param store - of a local reference; absent: the registry is asked
   * @throws Fault ImageInvalid when there is none for it
   */
  async choose(
    reference: Reference,
    { digest, manifest }: Resolved,
    store: BlobStore | undefined,
    signal: AbortSignal,
  ): Promise<Chosen> {
    if (manifest.is === 'image') return { digest, manifest };
    const seen: Platform[] = [];
    const chosen = await this.#inIndex(reference, manifest.manifests, store, 1, seen, signal);
    if (chosen) return chosen;
    throw otherPlatform(nameOf(reference), seen, this.#options.platform);
  }

  /**
   * The parts of a local image.
   * @param scratch - takes what must be laid out for it; it need not be there
   */
  async open(reference: LocalReference, scratch: string, signal: AbortSignal): Promise<BlobStore> {
    const { files } = this.#options;
    const { from, path } = reference;
    const name = nameOf(reference);
    const info = await files.stat(path);
    const missing = (state: string): Fault =>
      new Fault('not_found', `Cannot find image "${name}": ${state}`, { reason: 'ImageNotFound' });
    if (from === 'oci') {
      if (info?.kind === 'file')
        throw missing(`there is no OCI layout at ${path}, but a file; write oci-archive:${path}`);
      if (!info || !(await files.stat(`${path}/index.json`)))
        throw missing(`there is no OCI layout at ${path} (no index.json)`);
      return layoutStore(files, path);
    }
    if (info?.kind === 'directory') throw missing(`${path} is a directory; write oci:${path}`);
    if (info?.kind !== 'file') throw missing(`${path} ${info ? 'is no regular file' : 'does not exist'}`);
    const packing = packingOf(Buffer.from((await files.read(path, { maxBytes: MAGIC_BYTES })) ?? []));
    const plain = packing === 'none' ? path : `${scratch}/archive.tar`;
    if (plain !== path) {
      await files.makeDirectory(scratch, 0o700);
      await expand(path, plain, name, { ...this.#options, directory: this.#options.paths.directory }, signal);
    }
    return asInvalidAsync(name, () => archiveStore(files, plain));
  }

  /** What its index leads to is known as long as that is the same file. */
  async #inLayout(reference: LocalReference, name: string, signal: AbortSignal): Promise<Resolved> {
    const stamp = (await this.#options.files.stat(`${reference.path}/index.json`))?.stamp;
    const known = this.#layouts.get(name);
    if (stamp !== undefined && known?.stamp === stamp) return known.resolved;
    this.#layouts.delete(name);
    // What is laid out already needs no place to be laid out in.
    const resolved = await this.#local(reference, name, '', signal);
    if (this.#layouts.size >= MAX_LAYOUTS) this.#layouts.clear();
    if (stamp !== undefined) this.#layouts.set(name, { stamp, resolved });
    return resolved;
  }

  async #local(reference: LocalReference, name: string, scratch: string, signal: AbortSignal): Promise<Resolved> {
    const store = await this.open(reference, scratch, signal);
    const entries = await asInvalidAsync(name, () => store.entries());
    const found = chooseEntry(entries, reference, this.#options.platform);
    const digest = 'wrong' in found ? reference.digest : found.digest;
    const text = digest === undefined ? undefined : await asInvalidAsync(name, () => store.text(digest));
    if (digest !== undefined && text !== undefined)
      return { digest, manifest: asInvalid(name, () => parseManifest(text)) };
    if ('wrong' in found)
      throw new Fault('not_found', `Cannot find image "${name}" in ${store.what}: ${found.wrong}`, {
        reason: 'ImageNotFound',
      });
    throw invalid(name, `its manifest ${found.digest} is missing from ${store.what}`);
  }

  async #inIndex(
    reference: Reference,
    manifests: readonly Descriptor[],
    store: BlobStore | undefined,
    depth: number,
    seen: Platform[],
    signal: AbortSignal,
  ): Promise<Chosen | undefined> {
    const name = nameOf(reference);
    if (depth > MAX_INDEX_DEPTH) throw invalid(name, `its indexes are more than ${MAX_INDEX_DEPTH} deep`);
    const images = manifests.filter((one) => !one.isBeside);
    if (images.length === 0 && manifests.length > 0)
      throw invalid(name, 'it has signatures or attestations alone, and no image: name the image that they are of');
    seen.push(...images.flatMap(({ platform }) => platform ?? []));
    const ours = images.filter(({ platform }) => platform && this.#isOurs(platform)).sort(plainFirst);
    const unsaid = images.filter(({ platform }) => !platform).slice(0, MAX_ASKED);
    let forAny: Chosen | undefined;
    for (const one of [...ours.slice(0, 1), ...(ours.length > 0 ? [] : unsaid)]) {
      const text = await this.#text(reference, one.digest, store, signal);
      const manifest = asInvalid(name, () => parseManifest(text));
      if (manifest.is === 'index') {
        const found = await this.#inIndex(reference, manifest.manifests, store, depth + 1, seen, signal);
        if (found) return found;
        continue;
      }
      if (one.platform) return { digest: one.digest, manifest };
      const config = await this.#text(reference, manifest.config.digest, store, signal, one.digest);
      const { platform } = asInvalid(name, () => parseConfig(config));
      if (this.#isOurs(platform)) return { digest: one.digest, manifest };
      if (saysPlatform(platform)) seen.push(platform);
      else if (artifactOf(manifest) === undefined) forAny ??= { digest: one.digest, manifest };
    }
    return forAny;
  }

  #isOurs({ os, architecture }: Platform): boolean {
    const { platform } = this.#options;
    return os === platform.os && architecture === platform.architecture;
  }

  /** A manifest; with `configOf` the configuration of that one. */
  async #text(
    reference: Reference,
    digest: string,
    store: BlobStore | undefined,
    signal: AbortSignal,
    configOf?: string,
  ): Promise<string> {
    const name = nameOf(reference);
    if (reference.from === 'registry') {
      const text = await this.#ask({ ...reference, digest: configOf ?? digest }, name, signal, configOf !== undefined);
      if (digestOf(text, digest) === digest) return text;
      throw new PullFault('tool', `Cannot pull image "${name}": the registry sent something else than ${digest}`, {
        soon: true,
      });
    }
    const text = await asInvalidAsync(name, async () => store?.text(digest));
    if (text === undefined) throw invalid(name, `its part ${digest} is missing from ${store?.what ?? 'it'}`);
    return text;
  }

  async #ask(reference: RegistryReference, name: string, signal: AbortSignal, config = false): Promise<string> {
    const { skopeo, paths } = this.#options;
    try {
      const text = await skopeo.manifest(reference, paths.scratch, signal, config);
      if (text.length > MAX_MANIFEST_BYTES) throw invalid(name, 'its manifest is larger than 4 MiB');
      return text;
    } catch (error) {
      throw explain(error, name);
    }
  }

  /** A directory of its own, which goes again. */
  async #withScratch<T>(work: (scratch: string) => Promise<T>): Promise<T> {
    const { files, paths } = this.#options;
    const scratch = `${paths.scratch}/${this.scratchPrefix}${++this.#count}`;
    try {
      return await work(scratch);
    } finally {
      await files.remove(scratch);
    }
  }
}

/** Of several for one CPU, the one that runs on all of its kind. */
const plainFirst = (a: Descriptor, b: Descriptor): number => rank(a) - rank(b);
const rank = ({ platform }: Descriptor): number => {
  const variant = platform?.variant ?? '';
  return variant === '' ? 0 : Number(/^v(\d+)$/.exec(variant)?.[1] ?? 99);
};

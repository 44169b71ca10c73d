import { createHash } from 'node:crypto';
import { Fault } from '../domain/fault.ts';
import { shorten } from '../domain/labels.ts';
import type { Clock } from '../ports/clock.ts';
import type { Files } from '../ports/host.ts';
import type { CachePaths } from './cache-paths.ts';
import { explain, PullFault } from './failures.ts';
import { readIndex, readManifest } from './layout.ts';
import { type Manifest, type Platform, parseManifest } from './manifest.ts';
import { type LocalReference, nameOf, type Reference } from './reference.ts';
import type { Skopeo } from './skopeo.ts';

/** What a reference led to. */
export interface Resolved {
  readonly digest: string;
  readonly manifest: Manifest;
}

const MAX_TAGS_SHOWN = 10;

/** Finds out what references lead to. Faults: ImageNotFound, ImageInvalid, ImagePullFailed. */
export class Lookup {
  readonly #files: Files;
  readonly #skopeo: Skopeo;
  readonly #paths: CachePaths;
  /** What the names of this daemon's scratch directories begin with. */
  readonly scratchPrefix: string;
  #count = 0;

  constructor(files: Files, skopeo: Skopeo, paths: CachePaths, clock: Clock) {
    this.scratchPrefix = `lookup-${clock.now()}-`;
    this.#files = files;
    this.#skopeo = skopeo;
    this.#paths = paths;
  }

  /** @param reference - a local one with its real path */
  async resolve(reference: Reference, signal: AbortSignal): Promise<Resolved> {
    const name = nameOf(reference);
    if (reference.from === 'oci') return this.#inLayout(reference, name);
    const text =
      reference.from === 'registry'
        ? await this.#ask(reference, this.#paths.scratch, name, signal)
        : await this.#inArchive(reference, name, signal);
    const digest = `sha256:${createHash('sha256').update(text).digest('hex')}`;
    if (reference.from === 'registry' && reference.digest !== undefined && reference.digest !== digest)
      throw new PullFault(
        'tool',
        `Cannot pull image "${name}": the registry sent a manifest whose digest is ${digest}`,
        { soon: true },
      );
    return { digest, manifest: asInvalid(name, () => parseManifest(text)) };
  }

  /**
   * The manifest of the image for a platform, where the reference led to an
   * index; undefined where it cannot be told without a pull.
   * @throws Fault ImageInvalid when an index names platforms, and not this one
   */
  async forPlatform(
    reference: Reference,
    { manifest }: Resolved,
    wanted: Platform,
    signal: AbortSignal,
  ): Promise<Extract<Manifest, { is: 'image' }> | undefined> {
    if (manifest.is === 'image') return manifest;
    const name = nameOf(reference);
    const isWanted = (p: Platform | undefined): boolean =>
      p?.os === wanted.os && p.architecture === wanted.architecture;
    const chosen = manifest.manifests.find((m) => isWanted(m.platform));
    if (!chosen) {
      if (manifest.manifests.some((m) => !m.platform)) return undefined;
      throw otherPlatform(
        name,
        manifest.manifests.flatMap((m) => m.platform ?? []),
        wanted,
      );
    }
    const found = await this.#child(reference, chosen.digest, name, signal);
    return found?.is === 'image' ? found : undefined;
  }

  /** Of an index; not looked for in an archive, which would be laid out for it. */
  async #child(reference: Reference, digest: string, name: string, signal: AbortSignal): Promise<Manifest | undefined> {
    if (reference.from === 'registry') {
      const text = await this.#ask({ ...reference, digest }, this.#paths.scratch, name, signal);
      return asInvalid(name, () => parseManifest(text));
    }
    if (reference.from === 'oci-archive') return undefined;
    return asInvalidAsync(name, () => readManifest(this.#files, reference.path, digest));
  }

  async #inLayout(reference: LocalReference, name: string): Promise<Resolved> {
    const { path, tag } = reference;
    const entries = await asInvalidAsync(name, () => readIndex(this.#files, path));
    if (!entries)
      throw new Fault('not_found', `Cannot find image "${name}": there is no OCI layout at ${path} (no index.json)`, {
        reason: 'ImageNotFound',
      });
    const entry = entries.find((e) => e.name === tag);
    if (!entry)
      throw new Fault('not_found', `Cannot find image "${name}": the layout has no tag "${tag}"; ${tagsOf(entries)}`, {
        reason: 'ImageNotFound',
      });
    const manifest = await asInvalidAsync(name, () => readManifest(this.#files, path, entry.digest));
    if (!manifest) throw invalid(name, `its manifest ${entry.digest} is missing from the layout`);
    return { digest: entry.digest, manifest };
  }

  /** skopeo unpacks the archive for that: in a directory of its own, which goes again. */
  async #inArchive(reference: LocalReference, name: string, signal: AbortSignal): Promise<string> {
    const info = await this.#files.stat(reference.path);
    if (info?.kind !== 'file') {
      const state = info ? 'is no regular file' : 'does not exist';
      throw new Fault('not_found', `Cannot find image "${name}": ${reference.path} ${state}`, {
        reason: 'ImageNotFound',
      });
    }
    const scratch = `${this.#paths.scratch}/${this.scratchPrefix}${++this.#count}`;
    await this.#files.makeDirectory(scratch, 0o700);
    try {
      return await this.#ask(reference, scratch, name, signal);
    } finally {
      await this.#files.remove(scratch);
    }
  }

  async #ask(reference: Reference, scratch: string, name: string, signal: AbortSignal): Promise<string> {
    try {
      return await this.#skopeo.manifest(reference, scratch, signal);
    } catch (error) {
      throw explain(error, name, reference.from === 'registry' ? 'registry' : 'local', 'skopeo');
    }
  }
}

export function otherPlatform(name: string, has: readonly Platform[], wanted: Platform): Fault {
  const words = [...new Set(has.map((p) => `${p.os}/${p.architecture}`))].slice(0, MAX_TAGS_SHOWN).join(', ');
  return invalid(name, `it is for ${words || 'no platform'}, and this host is ${wanted.os}/${wanted.architecture}`);
}

export const invalid = (name: string, why: string, cause?: unknown): Fault =>
  new Fault('invalid', `Cannot use image "${name}": ${why}`, { reason: 'ImageInvalid', cause });

/** The errors of the parsers, which are no Faults, become ImageInvalid. */
export function asInvalid<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof Fault ? error : invalid(name, error instanceof Error ? error.message : String(error), error);
  }
}

export async function asInvalidAsync<T>(name: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    return asInvalid(name, () => {
      throw error;
    });
  }
}

function tagsOf(entries: readonly { readonly name?: string }[]): string {
  const tags = entries.flatMap((entry) => entry.name ?? []);
  if (tags.length === 0) return 'it names none';
  const more = tags.length > MAX_TAGS_SHOWN ? ` and ${tags.length - MAX_TAGS_SHOWN} more` : '';
  return `it has ${tags.slice(0, MAX_TAGS_SHOWN).map(shorten).join(', ')}${more}`;
}

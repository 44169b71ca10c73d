import { Fault } from '../domain/fault.ts';
import type { PullPolicy } from '../domain/spec.ts';
import type { Clock } from '../ports/clock.ts';
import type { Files } from '../ports/host.ts';
import type { ImageWay } from '../ports/images.ts';
import type { Log } from '../ports/log.ts';
import type { Meter } from '../ports/meter.ts';
import type { CachePaths } from './cache-paths.ts';
import { PullFault } from './failures.ts';
import type { Inventory } from './inventory.ts';
import type { Ledgered } from './ledgered.ts';
import type { Lookup, Resolved } from './lookup.ts';
import { nameOf, type Reference } from './reference.ts';
import { SharedWork } from './shared-work.ts';
import type { TagLooks } from './tag-look.ts';

export interface ResolverOptions {
  readonly files: Files;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly paths: CachePaths;
  readonly lookup: Lookup;
  readonly ledgered: Ledgered;
  readonly inventory: Inventory;
  /** Absent: skopeo alone asks registries. */
  readonly tags?: TagLooks;
}

/** Which image a reference leads to. Without a manifest where it is known from before, and is in the cache. */
export interface Found extends Partial<Resolved> {
  readonly digest: string;
  readonly remark?: string;
  /** How long its registry was waited for; absent: none was asked. */
  readonly lookUpMs?: number;
}

/** Finds out which image a reference leads to: by what is in the cache, or by its registry, as the pull policy says. */
export class Resolver {
  readonly #options: ResolverOptions;
  readonly #lookups = new SharedWork<Found>();

  constructor(options: ResolverOptions) {
    this.#options = options;
  }

  /** How an image would be come by. Asks no registry, and reads no local image. */
  async way(given: Reference, policy: PullPolicy): Promise<ImageWay> {
    if (given.from !== 'registry') return { is: 'local' };
    const digest = await this.#known(given);
    // A digest says all that a look at the registry would, once the image is here.
    if (digest !== undefined && (given.digest !== undefined || policy !== 'ALWAYS')) return { is: 'cached', digest };
    if (policy === 'NEVER') return { is: 'refused', why: notToBePulled(nameOf(given)) };
    if (given.digest !== undefined) return { is: 'pull' };
    return { is: 'look-up', ...(digest !== undefined && { digest }) };
  }

  /**
   * @param real - the same reference with its path resolved
   * @throws Fault `refused` ImageNotPulled; what {@link Lookup} throws
   */
  async find(given: Reference, real: Reference, policy: PullPolicy, signal: AbortSignal): Promise<Found> {
    const { files, paths, clock, log } = this.#options;
    const way = await this.way(given, policy);
    if (way.is === 'cached') return { digest: way.digest };
    if (way.is === 'refused') throw new Fault('refused', `Cannot use ${way.why}`, { reason: 'ImageNotPulled' });
    if (real.from !== 'oci') await files.makeDirectory(paths.scratch, 0o700);
    const began = clock.elapsed();
    try {
      return await this.#lookedUp(real, signal, way.is === 'look-up' ? way.digest : undefined);
    } catch (error) {
      if (!(error instanceof PullFault && error.unreachable)) throw error;
      // Again: so long a wait may have brought it.
      const before = await this.#lastSeen(nameOf(given));
      if (before === undefined) throw error;
      const remark = `The digest last seen, ${before}, is used, because whether the tag has moved is not known: ${error.message}`;
      log.warn('an image is used as it was last seen', { image: nameOf(given), digest: before, remark });
      return { digest: before, remark, lookUpMs: clock.elapsed() - began };
    }
  }

  /** The digest of a reference, if that image is in the cache; of a directory what it says now. */
  async cached(given: Reference, real: Reference, signal: AbortSignal): Promise<string | undefined> {
    // An archive would be unpacked for it.
    if (real.from !== 'oci') return this.#known(given);
    const { digest } = await this.#lookedUp(real, signal);
    return (await this.isHere(digest)) ? digest : undefined;
  }

  async isHere(digest: string): Promise<boolean> {
    const { ledgered, files, paths } = this.#options;
    const isMade = ledgered.find('image-tree', digest)?.made === true;
    return isMade && (await files.stat(paths.tree(digest).rootfs))?.kind === 'directory';
  }

  settled(): Promise<void> {
    return this.#lookups.settled();
  }

  /** What is known without a look: the digest in the reference, or the one that it led to last; if that image is here. */
  async #known(given: Reference): Promise<string | undefined> {
    if (given.from !== 'registry' || given.digest === undefined) return this.#lastSeen(nameOf(given));
    return (await this.isHere(given.digest)) ? given.digest : undefined;
  }

  async #lastSeen(name: string): Promise<string | undefined> {
    const known = (await this.#options.inventory.list()).find((image) => image.references.includes(name));
    return known && (await this.isHere(known.digest)) ? known.digest : undefined;
  }

  #lookedUp(real: Reference, signal: AbortSignal, last?: string): Promise<Found> {
    return this.#lookups.run(nameOf(real), signal, (stop) => this.#lookUp(real, last, stop));
  }

  /** @param last - where it led last, if that image is here: then nothing else of it need be known */
  async #lookUp(reference: Reference, last: string | undefined, signal: AbortSignal): Promise<Found> {
    const { lookup, meter, clock, log, tags } = this.#options;
    const began = clock.elapsed();
    const count = (result: 'done' | 'failed' | 'cancelled'): number => {
      const ms = clock.elapsed() - began;
      meter.imageLookup(result, reference.from === 'registry' ? { ms } : {});
      return ms;
    };
    try {
      const isStill =
        reference.from === 'registry' && last !== undefined && (await tags?.digestOf(reference, signal)) === last;
      const resolved = isStill ? { digest: last } : await lookup.resolve(reference, signal);
      const ms = count('done');
      if (reference.from !== 'registry') return resolved;
      const by = isStill ? 'one request' : 'skopeo';
      log.info('image looked up', { image: nameOf(reference), digest: resolved.digest, by, seconds: ms / 1000 });
      return { ...resolved, lookUpMs: ms };
    } catch (error) {
      count(signal.aborted ? 'cancelled' : 'failed');
      const isLate = reference.from === 'registry' && error instanceof PullFault && error.kind === 'timeout';
      throw (isLate && !signal.aborted && (await tags?.whyLate(reference, signal))) || error;
    }
  }
}

const notToBePulled = (name: string): string =>
  `image "${name}": it is not on this host, and pull_policy NEVER lets nobody pull it; run "flintlock image pull ${name}" first, or create with --pull missing`;

import { orAborted } from '../base/or-aborted.ts';
import { Fault } from '../domain/fault.ts';
import type { CacheKind, LedgerEntry } from '../domain/ledger.ts';
import type { CachedImage, InUse } from '../ports/images.ts';
import type { Log } from '../ports/log.ts';
import type { CachePaths } from './cache-paths.ts';
import { type Inventory, isOfDigest } from './inventory.ts';
import type { Ledgered } from './ledgered.ts';
import { inFull } from './reference.ts';
import type { UseNotes } from './uses.ts';

export interface KeeperOptions {
  readonly inventory: Inventory;
  readonly ledgered: Ledgered;
  readonly paths: CachePaths;
  readonly uses: UseNotes;
  readonly log: Log;
  /** Whether something is being made under an entry's key. */
  readonly isUnderWay: (entry: LedgerEntry<CacheKind>) => boolean;
  /** Whether somebody works with an image just now. */
  readonly isLent: (digest: string) => boolean;
}

/** Removes images that nothing holds. */
export class Keeper {
  readonly #options: KeeperOptions;
  /** Removals that must end before the digest is looked for again. */
  readonly #removals = new Map<string, Promise<unknown>>();

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  isRemoving(digest: string): boolean {
    return this.#removals.has(digest);
  }

  /** Resolves at once, or when the removal of a digest that is under way has ended. */
  async removed(digest: string, signal: AbortSignal): Promise<void> {
    for (let removal = this.#removals.get(digest); removal; removal = this.#removals.get(digest))
      await orAborted(removal, signal);
  }

  async settled(): Promise<void> {
    await Promise.allSettled(this.#removals.values());
  }

  async remove(digest: string, inUse: () => InUse): Promise<CachedImage> {
    const image = (await this.#options.inventory.list()).find((one) => one.digest === digest);
    if (!image) throw new Fault('not_found', `Cannot remove image ${digest}: not found`);
    if (!inUse().isWhole)
      throw new Fault(
        'refused',
        `Cannot remove image ${digest}: the ledger has rows that cannot be read, and that may hold it`,
      );
    if (!(await this.#removeUnused(image, inUse)))
      throw new Fault('refused', `Cannot remove image ${digest}: it is in use; delete the microVMs that use it first`);
    return image;
  }

  async prune(inUse: () => InUse, maxBytes: number): Promise<readonly CachedImage[]> {
    const images = await this.#options.inventory.list();
    let bytes = images.reduce((sum, image) => sum + image.bytes, 0);
    const removed: CachedImage[] = [];
    for (const image of images.toReversed()) {
      if (bytes <= maxBytes) break;
      if (!(await this.#removeUnused(image, inUse))) continue;
      bytes -= image.bytes;
      removed.push(image);
    }
    return removed;
  }

  /** @returns false when it is in use */
  async #removeUnused(image: CachedImage, inUse: () => InUse): Promise<boolean> {
    const { ledgered, paths, uses, log, isUnderWay, isLent } = this.#options;
    const { digest } = image;
    const entries = ledgered.all().filter((entry) => isOfDigest(entry, digest));
    // From here to the mark in #removals nothing awaits: no hold can come in between.
    const used = inUse();
    const references = [...image.references, ...uses.known(paths.tree(digest).uses)];
    const isUsed =
      !used.isWhole ||
      used.digests.has(digest) ||
      isLent(digest) ||
      [...used.references].some((text) => references.includes(inFull(text))) ||
      this.#removals.has(digest) ||
      entries.some(isUnderWay);
    if (isUsed) return false;
    const removal = (async () => {
      // Newest first: disk images before their tree.
      for (const entry of entries.toReversed()) await ledgered.undo(entry);
      uses.forget(paths.tree(digest).uses);
    })();
    const ended = removal.catch(() => undefined);
    this.#removals.set(digest, ended);
    try {
      await removal;
    } finally {
      this.#removals.delete(digest);
    }
    log.info('image removed', { digest, bytes: image.bytes });
    return true;
  }
}

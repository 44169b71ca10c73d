import { type CacheKind, entriesOf, type LedgerEntry } from '../domain/ledger.ts';
import type { Files } from '../ports/host.ts';
import type { CachedImage } from '../ports/images.ts';
import type { CachePaths } from './cache-paths.ts';
import type { Ledgered } from './ledgered.ts';
import type { UseNotes } from './uses.ts';

/** Whether an entry of the cache belongs to an image: its tree, or what was made of it. */
export const isOfDigest = (entry: Pick<LedgerEntry, 'key'>, digest: string): boolean =>
  entry.key === digest || entry.key.startsWith(`${digest}/`);

/** Says what the cache has, by its ledger. */
export class Inventory {
  readonly #files: Files;
  readonly #ledgered: Ledgered;
  readonly #paths: CachePaths;
  readonly #uses: UseNotes;

  constructor(files: Files, ledgered: Ledgered, paths: CachePaths, uses: UseNotes) {
    this.#files = files;
    this.#ledgered = ledgered;
    this.#paths = paths;
    this.#uses = uses;
  }

  /** Whole images, used last first. */
  async list(): Promise<readonly CachedImage[]> {
    const entries = this.#ledgered.all().filter((entry) => entry.made);
    const trees = entriesOf(entries, 'image-tree');
    const images = await Promise.all(trees.map((tree) => this.#describe(tree, entries)));
    return images.sort((a, b) => b.lastUsedAt - a.lastUsedAt || a.digest.localeCompare(b.digest));
  }

  async #describe(tree: LedgerEntry<'image-tree'>, entries: readonly LedgerEntry<CacheKind>[]): Promise<CachedImage> {
    const digest = tree.key;
    const goldens = await Promise.all(
      entriesOf(entries, 'golden')
        .filter((entry) => isOfDigest(entry, digest))
        .map(async (entry) => {
          const path = this.#ledgered.finishedPath(entry);
          const bytes = (await this.#files.stat(path))?.diskBytes ?? 0;
          return { path, sizeInMb: entry.result?.sizeInMb ?? 0, bytes };
        }),
    );
    const kernels = entriesOf(entries, 'fitted-kernel')
      .filter((entry) => isOfDigest(entry, digest))
      .map(({ result }) => result?.bytes ?? 0);
    const { pulledAt = 0, bytes: treeBytes = 0 } = tree.result ?? {};
    const uses = await this.#uses.read(this.#paths.tree(digest).uses);
    return {
      digest,
      references: uses.references,
      bytes: [treeBytes, ...goldens.map(({ bytes }) => bytes), ...kernels].reduce((a, b) => a + b),
      goldens,
      pulledAt,
      lastUsedAt: Math.max(uses.lastUsedAt, pulledAt),
    };
  }
}

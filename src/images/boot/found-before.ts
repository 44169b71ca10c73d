import type { Files } from '../../ports/host.ts';
import type { BootWants } from '../../ports/images.ts';
import type { FoundBootFiles } from './boot-files.ts';
import { NOT_YET } from './look-into.ts';

/** Answers that are remembered; then it begins anew. */
const MAX_KNOWN = 500;

interface Answer {
  readonly found: FoundBootFiles;
  /** Of each file that was found. */
  readonly stamps: readonly string[];
}

/**
 * What was found in an image's tree. It does not change, and lies under its digest's name: the answer holds as long as the
 * files that were found are the same ones. To search it anew takes dozens of looks at the disk.
 */
export class FoundBefore {
  readonly #files: Pick<Files, 'stat'>;
  readonly #known = new Map<string, Answer>();

  constructor(files: Pick<Files, 'stat'>) {
    this.#files = files;
  }

  /** @param search - asked where nothing is known; what it throws is not remembered */
  async find(tree: string, wants: BootWants, search: () => Promise<FoundBootFiles>): Promise<FoundBootFiles> {
    const key = JSON.stringify([tree, wants]);
    const known = this.#known.get(key);
    if (known && sameOnes(known.stamps, await this.#stampsOf(known.found))) return known.found;
    this.#known.delete(key);
    const found = await search();
    const stamps = await this.#stampsOf(found);
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    if (stamps.every((stamp) => stamp !== '') && !found.kernel?.facts.unseen?.endsWith(NOT_YET))
      this.#known.set(key, { found, stamps });
    return found;
  }

  #stampsOf({ kernel, initrd }: FoundBootFiles): Promise<readonly string[]> {
    const paths = [kernel, initrd].flatMap((file) => file?.path ?? []);
    return Promise.all(paths.map(async (path) => (await this.#files.stat(path))?.stamp ?? ''));
  }
}

const sameOnes = (some: readonly string[], others: readonly string[]): boolean =>
  some.every((stamp, i) => stamp === others[i]);

import type { KernelFacts } from '../domain/kernel-facts.ts';
import type { Files, Run } from '../ports/host.ts';
import type { BootFile, BootFilesFound, BootWants, Images, LocalImage } from '../ports/images.ts';
import { BootFiles, type FoundBootFiles, type FoundFile, type SearchDeps } from './boot/boot-files.ts';
import { needsFit } from './boot/fit.ts';
import { FoundBefore } from './boot/found-before.ts';
import { INITRD_HEAD_BYTES, takesProcess } from './boot/our-initrd.ts';
import { FittedKernels, type FittedOptions } from './fitted.ts';
import type { Lending } from './lending.ts';
import type { Lookup } from './lookup.ts';
import { SharedWork } from './shared-work.ts';

export interface BootOfImageDeps extends FittedOptions {
  readonly run: Run;
  readonly files: Files;
  readonly lookup: Pick<Lookup, 'scratchPrefix'>;
  readonly lending: Pick<Lending, 'grew'>;
}

/** The kernel and the initrd that an image has, as a VMM can take them. */
export class BootOfImage {
  readonly #deps: BootOfImageDeps;
  readonly #looks = new SharedWork<KernelFacts | undefined>();
  readonly #search: SearchDeps;
  readonly #found: FoundBefore;
  readonly #fitted: FittedKernels;

  constructor(deps: BootOfImageDeps) {
    const { files, run, paths, reservations, lookup } = deps;
    this.#deps = deps;
    this.#found = new FoundBefore(files);
    this.#fitted = new FittedKernels(deps);
    let looks = 0;
    this.#search = {
      ...{ files, run },
      known: { kinds: new Map(), facts: new Map(), looks: this.#looks },
      room: async (bytes) => {
        const reservation = await reservations.reserve(bytes, 'look into a kernel', 'what it unpacks to');
        const path = `${paths.scratch}/${lookup.scratchPrefix}kernel-${++looks}`;
        return { path, [Symbol.dispose]: () => reservation[Symbol.dispose]() };
      },
    };
  }

  /** The image is lent meanwhile. */
  async find(
    image: LocalImage,
    wants: BootWants,
    { signal, dry }: Parameters<Images['bootFiles']>[2],
  ): Promise<BootFilesFound> {
    const { kernel, initrd } = await this.#found.find(image.tree, wants, async () => {
      const found = await new BootFiles(image.tree, this.#search, signal).find(wants);
      return found.initrd ? { ...found, initrd: await this.#looked(found.initrd) } : found;
    });
    const ownInitrd = initrd && bootFile(initrd);
    if (!kernel) return ownInitrd ? { initrd: ownInitrd } : {};
    const fitted = dry
      ? undefined
      : await this.#fitted.of(image, kernel, signal, () => this.#deps.lending.grew(image.digest));
    const { filename, path, release, facts } = kernel;
    return {
      kernel: {
        ...{ filename, path: fitted ?? path, facts },
        ...(release !== undefined && { release }),
        ...(needsFit(kernel.kind) && { fitted: true as const }),
      },
      ...(ownInitrd && { initrd: ownInitrd }),
    };
  }

  isUnderWay(key: string): boolean {
    return this.#fitted.isUnderWay(key);
  }

  async settled(): Promise<void> {
    await Promise.allSettled([this.#fitted.settled(), this.#looks.settled()]);
  }

  async #looked(found: FoundFile): Promise<FoundInitrd> {
    const head = await this.#deps.files.read(found.path, { maxBytes: INITRD_HEAD_BYTES });
    return { ...found, ...(head && takesProcess(head) && { takesProcess: true as const }) };
  }
}

type FoundInitrd = NonNullable<FoundBootFiles['initrd']>;

const bootFile = ({ filename, path, release, kind, takesProcess }: FoundInitrd): BootFile => ({
  filename,
  path,
  ...(takesProcess && { takesProcess }),
  ...(release !== undefined && { release }),
  ...('packed' in kind && kind.packed !== undefined && { packed: kind.packed }),
});

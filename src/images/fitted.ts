import { createHash } from 'node:crypto';
import type { Files } from '../ports/host.ts';
import type { LocalImage } from '../ports/images.ts';
import type { FoundKernel } from './boot/boot-files.ts';
import { bytesOf } from './boot/bytes.ts';
import type { Elf } from './boot/elf.ts';
import { needsFit, planFit, writeFit } from './boot/fit.ts';
import type { CachePaths } from './cache-paths.ts';
import type { Ledgered } from './ledgered.ts';
import type { DiskReservations } from './reservations.ts';
import { SharedWork } from './shared-work.ts';

export interface FittedOptions {
  readonly files: Files;
  readonly ledgered: Ledgered;
  readonly paths: CachePaths;
  readonly reservations: DiskReservations;
}

/** Kernels that were given a PVH entry point: made once for each, kept as long as their image. */
export class FittedKernels {
  readonly #options: FittedOptions;
  readonly #work = new SharedWork<string>();

  constructor(options: FittedOptions) {
    this.#options = options;
  }

  isUnderWay(key: string): boolean {
    return this.#work.isUnderWay(key);
  }

  settled(): Promise<void> {
    return this.#work.settled();
  }

  /** @returns its path; undefined where the kernel can be entered as it is */
  async of(image: LocalImage, kernel: FoundKernel, signal: AbortSignal, grew: () => void): Promise<string | undefined> {
    const { kind } = kernel;
    if (!needsFit(kind)) return undefined;
    // Of its place in the image: a link to it is the same kernel.
    const name = createHash('sha256').update(kernel.path.slice(image.tree.length)).digest('hex').slice(0, 16);
    const key = `${image.digest}/kernel-${name}`;
    return await this.#work.run(key, signal, (stop) => this.#make(image, kernel, kind.elf, name, key, stop, grew));
  }

  async #make(
    { digest }: LocalImage,
    kernel: FoundKernel,
    elf: Elf,
    name: string,
    key: string,
    signal: AbortSignal,
    grew: () => void,
  ): Promise<string> {
    const { files, ledgered, paths, reservations } = this.#options;
    const { path, partial } = paths.fitted(digest, name);
    if (ledgered.find('fitted-kernel', key)?.made && (await files.stat(path))?.kind === 'file') return path;
    const fit = planFit(elf);
    if ('wrong' in fit) throw new Error(`it was found fit to be booted, and ${fit.wrong}`);
    const what = `fit kernel ${kernel.filename} of image ${digest}`;
    using _reservation = await reservations.reserve(fit.sizeBytes, what, 'what is loaded of it');
    await ledgered.make(
      'fitted-kernel',
      key,
      [path, partial],
      async () => {
        await files.makeDirectory(paths.fittedKernels, 0o700);
        const bytes = bytesOf(files, kernel.path, kernel.sizeBytes);
        await files.write(partial, writeFit(fit, bytes, signal), { durable: true }); // made is made
        await files.rename(partial, path);
        return { filename: kernel.filename, bytes: fit.sizeBytes };
      },
      signal,
    );
    grew();
    return path;
  }
}

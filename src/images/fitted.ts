import { createHash } from 'node:crypto';
import { Fault } from '../domain/fault.ts';
import type { Files } from '../ports/host.ts';
import type { LocalImage } from '../ports/images.ts';
import type { FoundKernel } from './boot/boot-files.ts';
import { bytesOf } from './boot/bytes.ts';
import { planFit, writeFit } from './boot/fit.ts';
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
    if (!needsFit(kernel)) return undefined;
    // Of its place in the image: a link to it is the same kernel.
    const name = createHash('sha256').update(kernel.path.slice(image.tree.length)).digest('hex').slice(0, 16);
    const key = `${image.digest}/kernel-${name}`;
    return await this.#work.run(key, signal, (stop) => this.#make(image, kernel, name, key, stop, grew));
  }

  async #make(
    { digest }: LocalImage,
    kernel: FoundKernel,
    name: string,
    key: string,
    signal: AbortSignal,
    grew: () => void,
  ): Promise<string> {
    const { files, ledgered, paths, reservations } = this.#options;
    const { path, partial } = paths.fitted(digest, name);
    if (ledgered.find('fitted-kernel', key)?.made && (await files.stat(path))?.kind === 'file') return path;
    const fit = planOf(kernel);
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

const needsFit = ({ kind }: FoundKernel): boolean => kind.is === 'elf' && kind.elf.pvhEntry === undefined;

/** @throws Fault `not_found` KernelNotFound where the kernel leaves no room for an entry point */
export function planOf({ kind, filename }: FoundKernel) {
  const fit = kind.is === 'elf' ? planFit(kind.elf) : { wrong: 'is no ELF file' };
  if ('wrong' in fit)
    throw new Fault('not_found', `Cannot take "${filename}" as kernel: it has no PVH entry point, and ${fit.wrong}`, {
      reason: 'KernelNotFound',
    });
  return fit;
}

/** Whether there is nothing against it. @throws as {@link planOf} */
export function checkFit(kernel: FoundKernel): boolean {
  if (!needsFit(kernel)) return false;
  planOf(kernel);
  return true;
}

import { Fault } from '../domain/fault.ts';
import type { Clock } from '../ports/clock.ts';
import type { ForWhom, Golden, GoldenShape, LocalImage } from '../ports/images.ts';
import type { Log } from '../ports/log.ts';
import { DIGEST } from '../unpack/digest.ts';
import { type CachePaths, shapeName } from './cache-paths.ts';
import { type GoldenOptions, makeGolden } from './golden.ts';
import type { Ledgered } from './ledgered.ts';
import type { Lending } from './lending.ts';
import type { PullOptions } from './pull.ts';
import { SharedWork } from './shared-work.ts';

export interface GoldensDeps {
  readonly work: Omit<GoldenOptions, 'goldenTimeoutMs'> & Pick<PullOptions, 'diskWork' | 'unpackTimeoutMs'>;
  readonly paths: CachePaths;
  readonly ledgered: Ledgered;
  readonly lending: Pick<Lending, 'grew'>;
  readonly clock: Pick<Clock, 'elapsed'>;
  readonly log: Log;
}

/** The disk images that are made of trees, one for each shape; each is made once, however many ask. */
export class Goldens {
  readonly #deps: GoldensDeps;
  readonly #under = new SharedWork<Golden>();

  constructor(deps: GoldensDeps) {
    this.#deps = deps;
  }

  /**
   * Makes it, or gives what there is. The image is lent meanwhile.
   * @throws Fault ImageInvalid for an artifact, which has no file system
   */
  async of(image: LocalImage, shape: GoldenShape, { signal, whose }: ForWhom): Promise<Golden> {
    if (!DIGEST.test(image.digest)) throw new Error(`no digest: ${image.digest}`);
    this.#requireFileSystem(image.digest);
    const key = `${image.digest}/${shapeName(shape)}`;
    return await this.#under.run(key, signal, (stop) =>
      this.#make(image, key, shape, { signal: stop, ...(whose !== undefined && { whose }) }),
    );
  }

  isUnderWay(key: string): boolean {
    return this.#under.isUnderWay(key);
  }

  settled(): Promise<void> {
    return this.#under.settled();
  }

  #requireFileSystem(digest: string): void {
    const artifact = this.#deps.ledgered.find('image-tree', digest)?.result?.artifact;
    if (artifact === undefined) return;
    throw new Fault(
      'invalid',
      `Cannot make a disk of image ${digest}: it is ${artifact}, and no file system; its files can be a kernel or an initrd`,
      { reason: 'ImageInvalid' },
    );
  }

  async #make(image: LocalImage, key: string, shape: GoldenShape, { signal, whose }: ForWhom): Promise<Golden> {
    const { work, paths, ledgered, lending, clock, log } = this.#deps;
    const { path, partial } = paths.golden(image.digest, shape);
    const known = ledgered.find('golden', key)?.result?.sizeInMb;
    if (known !== undefined && (await work.files.stat(path))?.kind === 'file') return { path, sizeInMb: known };
    const started = clock.elapsed();
    const options = { ...work, goldenTimeoutMs: work.unpackTimeoutMs };
    const make = async () => ({ sizeInMb: (await makeGolden(image, shape, options, signal)).sizeInMb });
    const { sizeInMb } = await work.diskWork.run(
      signal,
      () => ledgered.make('golden', key, [path, partial], make, signal),
      whose,
    );
    const seconds = (clock.elapsed() - started) / 1000;
    lending.grew(image.digest);
    log.info('disk image made', { digest: image.digest, sizeInMb, seconds });
    return { path, sizeInMb };
  }
}

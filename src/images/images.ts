import { backoffMs } from '../base/backoff.ts';
import { orAborted } from '../base/or-aborted.ts';
import { Semaphore } from '../base/semaphore.ts';
import { Fault } from '../domain/fault.ts';
import type { LedgerEntry } from '../domain/ledger.ts';
import type { ImageSays } from '../domain/process.ts';
import type { PullPolicy } from '../domain/spec.ts';
import { DIRECT } from '../ports/acts.ts';
import type {
  BootFilesFound,
  BootWants,
  CachedImage,
  ForWhom,
  Golden,
  GoldenShape,
  ImageStore,
  Images,
  ImageWay,
  InUse,
  LocalImage,
  OnBytes,
  PullRequest,
} from '../ports/images.ts';
import { type Meter, NO_METER } from '../ports/meter.ts';
import { allow } from './allowed.ts';
import { BootOfImage } from './boot-of-image.ts';
import { DEFAULT_BOUNDS } from './bounds.ts';
import { CachePaths } from './cache-paths.ts';
import { PullFault } from './failures.ts';
import { Goldens } from './goldens.ts';
import type { ImagesOptions } from './images-options.ts';
import { Inventory } from './inventory.ts';
import { Keeper } from './keeper.ts';
import { Ledgered } from './ledgered.ts';
import { Lending } from './lending.ts';
import { Lookup } from './lookup.ts';
import type { Platform } from './manifest.ts';
import { type PullOptions, pull } from './pull.ts';
import { inFull, nameOf, parseReference, type Reference } from './reference.ts';
import { DiskReservations } from './reservations.ts';
import { type Found, Resolver } from './resolver.ts';
import { SharedWork } from './shared-work.ts';
import { Skopeo } from './skopeo.ts';
import { TagLooks } from './tag-look.ts';
import { UseNotes } from './uses.ts';

/** A pull ahead of time is tried so often: registries have bad moments. What microVMs need is tried by the reconciler. */
const PULL_TRIES = 3;
const PULL_RETRY = { firstMs: 1_000, maxMs: 5_000 };

/** Unpacking and mke2fs keep a disk and a core busy each. Namespaces take turns, whoever's step or call it is. */
const DISK_WORK = 2;

/** @throws Fault `invalid` for a directory that image tools cannot name */
export function createImages(options: ImagesOptions): ImageStore {
  const { directory } = options;
  if (!directory.startsWith('/') || directory.includes(':'))
    throw new Fault('invalid', `Cannot keep images in "${directory}": the path must be absolute and have no ":"`);
  return new ImageCache(options);
}

class ImageCache implements ImageStore {
  readonly #options: ImagesOptions;
  readonly #meter: Meter;
  readonly #work: PullOptions;
  readonly #paths: CachePaths;
  readonly #ledgered: Ledgered;
  readonly #uses: UseNotes;
  readonly #inventory: Inventory;
  readonly #pulls = new SharedWork<LocalImage>();
  readonly #goldens: Goldens;
  readonly #boot: BootOfImage;
  readonly #keeper: Keeper;
  readonly #resolver: Resolver;
  readonly #lending = new Lending();
  /** The clean-up after the start: nothing new is made while it runs. */
  #recovery: Promise<void> = Promise.resolve();

  constructor(options: ImagesOptions) {
    const { directory, run, files, ledger, clock, log, acts = DIRECT } = options;
    this.#options = options;
    this.#meter = options.meter ?? NO_METER;
    this.#paths = new CachePaths(directory);
    this.#ledgered = new Ledgered({ files, ledger, log, acts, directory });
    this.#uses = new UseNotes(files, clock);
    this.#inventory = new Inventory(files, this.#ledgered, this.#paths, this.#uses);
    this.#keeper = new Keeper({
      ...{ inventory: this.#inventory, ledgered: this.#ledgered, paths: this.#paths, uses: this.#uses, log },
      isUnderWay: (entry) => this.#isUnderWay(entry),
      isLent: (digest) => this.#lending.isLent(digest),
    });
    const { insecureRegistries, authFile, ask, registryEnvironment: environment = {} } = options;
    const skopeo = new Skopeo({
      ...{ run, files, insecureRegistries, ...(authFile !== undefined && { authFile }) },
      env: environment,
      lookupTimeoutMs: options.lookupTimeoutMs ?? 30_000,
      pullTimeoutMs: options.pullTimeoutMs ?? 1_800_000,
    });
    const keepFreeBytes = options.keepFreeBytes ?? 256 << 20;
    const reservations = new DiskReservations(files, directory, keepFreeBytes);
    const platform = options.platform ?? hostPlatform();
    const timeoutMs = options.diskTimeoutMs ?? 1_800_000;
    const lookup = { files, run, skopeo, paths: this.#paths, clock, platform, keepFreeBytes, timeoutMs };
    this.#work = {
      ...{ run, files, clock, paths: this.#paths, skopeo, platform },
      lookup: new Lookup(lookup),
      diskWork: new Semaphore(DISK_WORK),
      unpackTimeoutMs: timeoutMs,
      stallTimeoutMs: options.stallTimeoutMs ?? 60_000,
      keepFreeBytes,
      reservations,
      bounds: options.bounds ?? DEFAULT_BOUNDS,
    };
    const shared = { paths: this.#paths, ledgered: this.#ledgered, lending: this.#lending };
    this.#goldens = new Goldens({ ...shared, work: this.#work, clock, log });
    this.#boot = new BootOfImage({ ...shared, files, run, reservations, lookup: this.#work.lookup });
    this.#resolver = new Resolver({
      ...{ files, clock, log, meter: this.#meter, paths: this.#paths },
      ...{ lookup: this.#work.lookup, ledgered: this.#ledgered, inventory: this.#inventory },
      ...(ask && {
        tags: new TagLooks({
          ...{ ask, files, clock, insecureRegistries, environment },
          ...(authFile !== undefined && { authFile }),
        }),
      }),
    });
  }

  async check(text: string): Promise<string | undefined> {
    const reference = await this.#allowed(text);
    return 'wrong' in reference ? reference.wrong : undefined;
  }

  async ensure(
    text: string,
    { signal, whose, pull: policy = 'ALWAYS', onBytes }: Parameters<Images['ensure']>[1],
  ): ReturnType<Images['ensure']> {
    await orAborted(this.#recovery, signal);
    const reference = await this.#allowed(text);
    if ('wrong' in reference)
      throw new Fault('invalid', `Cannot use an image: ${reference.wrong}`, { reason: 'ImageInvalid' });
    const { given, real } = reference;
    for (;;) {
      const found = await this.#resolver.find(given, real, policy, signal);
      using _lent = await this.#lending.lend(found.digest, this.#keeper, signal);
      // It was in the cache, and was removed before it was lent.
      if (!found.manifest && !(await this.#resolver.isHere(found.digest))) continue;
      const image = await this.#pulls.run(
        found.digest,
        signal,
        (stop, report) => this.#pull(real, found, { signal: stop, ...(whose !== undefined && { whose }) }, report),
        onBytes,
      );
      await this.#note(image.digest, given);
      return withHistory(image, found);
    }
  }

  async way(text: string, pull: PullPolicy): Promise<ImageWay> {
    const given = parseReference(text);
    return 'wrong' in given ? { is: 'refused', why: given.wrong } : this.#resolver.way(given, pull);
  }

  async pull(text: string, request: PullRequest): ReturnType<ImageStore['pull']> {
    const { signal, goldenSizeInMb: sizeInMb } = request;
    const { digest, tree, remark, took } = await this.#ensureWithRetries(text, request);
    using _lent = await this.#lending.lend(digest, this.#keeper, signal);
    if (sizeInMb !== undefined) {
      request.onGolden?.();
      await this.golden({ digest, tree }, { signal, sizeInMb });
    }
    const image = (await this.list()).find((one) => one.digest === digest);
    if (!image)
      throw new Fault('conflict', `Image "${inFull(text)}" was removed as soon as it was there: pull it again`);
    return { image, ...(remark !== undefined && { remark }), ...(took && { took }) };
  }

  async cached(text: string, signal: AbortSignal): Promise<LocalImage | undefined> {
    await orAborted(this.#recovery, signal);
    const reference = await this.#allowed(text);
    if ('wrong' in reference) return undefined;
    const digest = await this.#resolver.cached(reference.given, reference.real, signal);
    return digest === undefined ? undefined : { digest, tree: this.#paths.tree(digest).rootfs };
  }

  async bootFiles(
    image: LocalImage,
    wants: BootWants,
    options: Parameters<Images['bootFiles']>[2],
  ): Promise<BootFilesFound> {
    await orAborted(this.#recovery, options.signal);
    using _lent = await this.#lending.lend(image.digest, this.#keeper, options.signal);
    return await this.#boot.find(image, wants, options);
  }

  async golden(image: LocalImage, options: GoldenShape & ForWhom): Promise<Golden> {
    const { signal, whose, ...shape } = options;
    await orAborted(this.#recovery, signal);
    using _lent = await this.#lending.lend(image.digest, this.#keeper, signal);
    return await this.#goldens.of(image, shape, { signal, ...(whose !== undefined && { whose }) });
  }

  says(digest: string): ImageSays | null | undefined {
    return this.#ledgered.find('image-tree', digest)?.result?.process;
  }

  async recover(signal: AbortSignal): Promise<void> {
    const cleanUp = this.#recovery.then(() => this.#cleanUp(signal));
    this.#recovery = cleanUp.catch(() => undefined);
    await cleanUp;
    signal.throwIfAborted();
  }

  fullName(reference: string): string {
    return inFull(reference);
  }

  onGrowth(listener: () => void): () => void {
    return this.#lending.onGrowth(listener);
  }

  list(): Promise<readonly CachedImage[]> {
    return this.#inventory.list();
  }

  remove(digest: string, inUse: () => InUse): Promise<CachedImage> {
    return this.#keeper.remove(digest, inUse);
  }

  prune(inUse: () => InUse, maxBytes: number): Promise<readonly CachedImage[]> {
    return this.#keeper.prune(inUse, maxBytes);
  }

  async settled(): Promise<void> {
    const work = [this.#resolver, this.#pulls, this.#goldens, this.#boot, this.#keeper].map((one) => one.settled());
    await Promise.allSettled([...work, this.#recovery]);
  }

  /** The reference as it was given, and with its path resolved; or what is wrong. */
  async #allowed(text: string): Promise<{ given: Reference; real: Reference } | { wrong: string }> {
    const given = parseReference(text);
    if ('wrong' in given) return given;
    if (given.from === 'registry') return { given, real: given };
    const allowed = await allow(this.#options.files, this.#options.imageRoots, given);
    return 'wrong' in allowed ? allowed : { given, real: { ...given, path: allowed.path } };
  }

  async #ensureWithRetries(text: string, { signal, onBytes }: PullRequest): Promise<LocalImage> {
    const { clock } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.ensure(text, { signal, ...(onBytes && { onBytes }) });
      } catch (error) {
        if (!(error instanceof PullFault && error.soon) || attempt === PULL_TRIES) throw error;
        await clock.sleep(backoffMs(attempt, clock.random(), PULL_RETRY), signal);
      }
    }
  }

  async #pull(
    reference: Reference,
    { digest, manifest }: Found,
    by: ForWhom,
    report: (done: number, total: number) => void,
  ): Promise<LocalImage> {
    const { home, partial, work, rootfs } = this.#paths.tree(digest);
    if (await this.#resolver.isHere(digest)) return { digest, tree: rootfs };
    if (!manifest) throw new Error(`image ${digest} went while it was lent`);
    const { clock, log } = this.#options;
    const started = clock.elapsed();
    const pulled = await this.#ledgered.make(
      'image-tree',
      digest,
      [home, partial, work],
      () => pull(reference, { digest, manifest }, this.#work, by, this.#metered(report)),
      by.signal,
    );
    const pullMs = clock.elapsed() - started;
    log.info('image pulled', { image: nameOf(reference), digest, bytes: pulled.bytes, seconds: pullMs / 1000 });
    this.#lending.grew(digest);
    return { digest, tree: rootfs, ...(reference.from === 'registry' && { took: { pullMs } }) };
  }

  /** Counts what comes, also of a pull that fails later. */
  #metered(report: OnBytes): OnBytes {
    let seen = 0;
    return (done, total) => {
      this.#meter.pulledBytes(Math.max(0, done - seen));
      seen = Math.max(seen, done);
      report(done, total);
    };
  }

  /** A note is not worth a failed create. */
  async #note(digest: string, reference: Reference): Promise<void> {
    try {
      const name = nameOf(reference);
      if (!(await this.#uses.note(this.#paths.tree(digest).uses, name))) return;
      // A tag leads to one image: the others have it no more.
      for (const { kind, key } of this.#ledgered.all())
        if (kind === 'image-tree' && key !== digest) await this.#uses.drop(this.#paths.tree(key).uses, name);
    } catch (error) {
      this.#options.log.warn('cannot note the use of an image', { digest, error });
    }
  }

  #isUnderWay({ key }: Pick<LedgerEntry, 'key'>): boolean {
    return [this.#pulls, this.#goldens, this.#boot].some((work) => work.isUnderWay(key));
  }

  async #cleanUp(signal: AbortSignal): Promise<void> {
    const { files, log } = this.#options;
    for (const entry of this.#ledgered.all()) {
      if (signal.aborted) return;
      // What began in this daemon puts itself away.
      if (this.#isUnderWay(entry)) continue;
      const finished = this.#ledgered.finishedPath(entry);
      const isWhole = entry.made && (await files.stat(finished)) !== undefined;
      if (!isWhole && (await this.#ledgered.undoOrLog(entry)))
        log.info('put away what a crash had cut off', { kind: entry.kind, key: entry.key });
    }
    // Of lookups, which have no entry: only they can be left.
    for (const name of await files.list(this.#paths.scratch))
      if (name.startsWith('lookup-') && !name.startsWith(this.#work.lookup.scratchPrefix))
        await files.remove(`${this.#paths.scratch}/${name}`);
  }
}

/** With how it was come by. */
function withHistory(image: LocalImage, { remark, lookUpMs }: Found): LocalImage {
  const took = { ...image.took, ...(lookUpMs !== undefined && { lookUpMs }) };
  return { ...image, ...(remark !== undefined && { remark }), ...(Object.keys(took).length > 0 && { took }) };
}

/** This host in the OCI's words. @see https://go.dev/doc/install/source#environment */
function hostPlatform(): Platform {
  const words: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };
  return { os: 'linux', architecture: words[process.arch] ?? process.arch };
}

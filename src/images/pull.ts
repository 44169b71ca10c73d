import type { Semaphore } from '../base/semaphore.ts';
import type { Clock } from '../ports/clock.ts';
import type { Files, Run } from '../ports/host.ts';
import type { OnBytes } from '../ports/images.ts';
import { type Bounds, requireFewLayers, requireSpread, treeWatch } from './bounds.ts';
import type { CachePaths } from './cache-paths.ts';
import { explain, PullFault } from './failures.ts';
import { readBlob, readIndex, readManifest } from './layout.ts';
import { asInvalidAsync, invalid, type Lookup, otherPlatform, type Resolved } from './lookup.ts';
import { layerBytes, type Platform, parsePlatform } from './manifest.ts';
import { nameOf, type Reference } from './reference.ts';
import type { DiskReservations, Reservation } from './reservations.ts';
import { PULLED_TAG, type Skopeo } from './skopeo.ts';
import { keepFree, underWatch } from './watchdog.ts';

export interface PullOptions {
  readonly run: Run;
  readonly files: Files;
  readonly clock: Clock;
  readonly paths: CachePaths;
  readonly skopeo: Skopeo;
  readonly lookup: Lookup;
  /** Of this host: images for another are refused. */
  readonly platform: Platform;
  /** How much unpacking goes on at once. */
  readonly diskWork: Semaphore;
  readonly unpackTimeoutMs: number;
  /** A pull that gets no byte for so long is given up. */
  readonly stallTimeoutMs: number;
  /** Bytes that must stay free on the disk. */
  readonly keepFreeBytes: number;
  readonly reservations: DiskReservations;
  readonly bounds: Bounds;
}

/** What is known of a pulled image; kept in the ledger. */
export type Pulled = Readonly<{
  /** On the disk, as du(1) counts it. */
  bytes: number;
  inodes: number;
  os: string;
  architecture: string;
  /** Milliseconds since 1970. */
  pulledAt: number;
}>;

/** How often the disk is looked at while bytes come. */
const LOOK_EVERY_MS = 200;

/**
 * Fetches an image into a layout of its own, checks that it is for this host,
 * unpacks it, and moves the whole tree to its place. The caller has the paths
 * in the ledger, removes what is left when this fails, and lets no second pull
 * of the digest run.
 */
export async function pull(
  reference: Reference,
  resolved: Resolved,
  options: PullOptions,
  signal: AbortSignal,
  report: OnBytes,
): Promise<Pulled> {
  const { files, paths, clock } = options;
  const name = nameOf(reference);
  const place = paths.tree(resolved.digest);
  const layout = `${place.work}/layout`;
  const image = await options.lookup.forPlatform(reference, resolved, options.platform, signal);
  if (image) requireFewLayers(image.layers.length, name, options.bounds);
  const total = image ? layerBytes(image.layers) : 0;
  await files.makeDirectory(paths.trees, 0o700);
  await files.makeDirectory(layout, 0o700);
  await files.makeDirectory(place.partial, 0o700);
  // The layers come packed, and are on the disk together with what they unpack to: at least as much again.
  const why = `layers of ${Math.ceil(total / 2 ** 20)} MB, and at least as much again unpacked`;
  using reservation = await options.reservations.reserve(total * 2, `pull image "${name}"`, why);
  await fetchInto(layout, reference, resolved, total, options, signal, tell(report, reservation));
  const platform = await checkPlatform(layout, name, options);
  const size = await options.diskWork.run(signal, () => unpack(layout, place.partial, name, options, signal));
  await files.remove(place.work);
  signal.throwIfAborted();
  await files.rename(place.partial, place.home);
  return { ...size, os: platform.os, architecture: platform.architecture, pulledAt: clock.now() };
}

/** What has come is no longer promised. */
const tell =
  (report: OnBytes, reservation: Reservation): OnBytes =>
  (done, total) => {
    reservation.used(done);
    report(done, total);
  };

async function fetchInto(
  layout: string,
  reference: Reference,
  resolved: Resolved,
  total: number,
  options: PullOptions,
  signal: AbortSignal,
  report: OnBytes,
): Promise<void> {
  const { files, clock, skopeo, stallTimeoutMs, paths } = options;
  const name = nameOf(reference);
  const scratch = `${layout}.tmp`; // beside it, in the directory that is removed
  await files.makeDirectory(scratch, 0o700);
  let seen = -1;
  let grewAt = clock.now();
  const look = async (): Promise<void> => {
    const done = await sizeOf(files, layout);
    const now = clock.now();
    if (done !== seen) {
      seen = done;
      grewAt = now;
      report(total > 0 ? Math.min(done, total) : done, total);
    } else if (reference.from === 'registry' && now - grewAt > stallTimeoutMs) {
      throw new PullFault(
        'timeout',
        `Cannot pull image "${name}": no byte came for ${stallTimeoutMs} ms, after ${done}`,
        { soon: true },
      );
    }
    await keepFree(files, paths.directory, options.keepFreeBytes, `pull image "${name}"`);
  };
  // A registry's image by its digest: a tag may move, and what comes is checked against it.
  const exact = reference.from === 'registry' ? { ...reference, digest: resolved.digest } : reference;
  try {
    await underWatch(clock, signal, LOOK_EVERY_MS, look, (watched) => skopeo.copy(exact, layout, scratch, watched));
  } catch (error) {
    throw explain(error, name, reference.from === 'registry' ? 'registry' : 'local', 'skopeo');
  }
  if (reference.from !== 'registry') await requireUnmoved(layout, reference, resolved, options, signal);
  if (total > 0) report(total, total);
}

/** A local tag may have moved between the look at it and the copy. */
async function requireUnmoved(
  layout: string,
  reference: Reference,
  { digest, manifest }: Resolved,
  { files, lookup }: PullOptions,
  signal: AbortSignal,
): Promise<void> {
  const name = nameOf(reference);
  const copied = (await asInvalidAsync(name, () => readIndex(files, layout)))?.[0]?.digest;
  const expected = manifest.is === 'index' ? manifest.manifests.map((m) => m.digest) : [digest];
  if (copied !== undefined && expected.includes(copied)) return;
  const now = await lookup.resolve(reference, signal); // Docker's manifests are rewritten, and so is their digest
  if (now.digest !== digest)
    throw new PullFault('tool', `Cannot pull image "${name}": it was ${digest}, and became ${now.digest} meanwhile`, {
      soon: true,
    });
}

async function checkPlatform(
  layout: string,
  name: string,
  { files, platform, bounds }: PullOptions,
): Promise<Platform> {
  const found = await asInvalidAsync(name, async () => {
    const digest = (await readIndex(files, layout))?.find((entry) => entry.name === PULLED_TAG)?.digest;
    const manifest = digest === undefined ? undefined : await readManifest(files, layout, digest);
    if (manifest?.is !== 'image') throw new Error('what was copied has no manifest');
    requireFewLayers(manifest.layers.length, name, bounds);
    const config = await readBlob(files, layout, manifest.config.digest);
    if (config === undefined) throw new Error('what was copied has no configuration');
    return parsePlatform(config);
  });
  if (found.os === '' && found.architecture === '')
    throw invalid(name, 'its configuration does not say for which system and CPU it is');
  if (found.os !== platform.os || found.architecture !== platform.architecture)
    throw otherPlatform(name, [found], platform);
  return found;
}

async function unpack(
  layout: string,
  partial: string,
  name: string,
  options: PullOptions,
  signal: AbortSignal,
): Promise<{ bytes: number; inodes: number }> {
  const { run, clock, files, paths, unpackTimeoutMs: timeoutMs } = options;
  const rootfs = `${partial}/rootfs`;
  const packedBytes = await sizeOf(files, layout);
  const bounded = treeWatch(rootfs, packedBytes, name, options.bounds, { run, clock, timeoutMs });
  const look = async (watched: AbortSignal): Promise<void> => {
    await keepFree(files, paths.directory, options.keepFreeBytes, `unpack image "${name}"`);
    await bounded.look(watched);
  };
  try {
    await underWatch(clock, signal, LOOK_EVERY_MS, look, async (watched) => {
      const argv = ['umoci', 'raw', 'unpack', '--image', `${layout}:${PULLED_TAG}`, rootfs] as const;
      // What no layer has an entry for (the root, a parent) is made by the umask, and is the guest's to enter.
      await run(argv, { signal: watched, timeoutMs, umask: '022' });
      // A layer may put a symlink in the place of its root: what follows would read the host's files through it.
      if ((await files.stat(rootfs))?.kind !== 'directory') throw invalid(name, 'its root is no directory');
    });
    const size = await bounded.measure(signal);
    await requireSpread(rootfs, name, options.bounds, { run, signal, timeoutMs });
    // The ledger will say for ever that all of it is there: it must be, also after a power cut.
    await run(['sync', '--file-system', rootfs], { signal, timeoutMs });
    return size;
  } catch (error) {
    throw explain(error, name, 'local', 'umoci');
  }
}

/** Bytes that have come: skopeo writes each layer to `oci-put-blob*` and then moves it to `blobs/`. */
async function sizeOf(files: Files, layout: string): Promise<number> {
  const blobs = `${layout}/blobs/sha256`;
  const paths = [
    ...(await files.list(layout)).filter((n) => n.startsWith('oci-put-blob')).map((n) => `${layout}/${n}`),
    ...(await files.list(blobs)).map((n) => `${blobs}/${n}`),
  ];
  const sizes = await Promise.all(paths.map(async (path) => (await files.stat(path))?.sizeBytes ?? 0));
  return sizes.reduce((sum, size) => sum + size, 0);
}

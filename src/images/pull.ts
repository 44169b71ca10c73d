import type { Semaphore } from '../base/semaphore.ts';
import { Fault } from '../domain/fault.ts';
import type { ResultOf } from '../domain/ledger.ts';
import type { Clock } from '../ports/clock.ts';
import type { Files, Run } from '../ports/host.ts';
import type { ForWhom, OnBytes } from '../ports/images.ts';
import { digestOf } from '../unpack/digest.ts';
import { toInput, UNPACK } from '../unpack/program.ts';
import { type BlobStore, copiedStore } from './blob-store.ts';
import { type Bounds, beyond, maxBytesOf, requireFewLayers } from './bounds.ts';
import type { CachePaths } from './cache-paths.ts';
import { type Content, contentOf, requireHere, requireUsable } from './content.ts';
import { explain, PullFault } from './failures.ts';
import { MAX_MANIFEST_BYTES } from './layout.ts';
import type { Chosen, Lookup, Resolved } from './lookup.ts';
import { layerBytes, type Platform } from './manifest.ts';
import { nameOf, type Reference, type RegistryReference } from './reference.ts';
import type { DiskReservations } from './reservations.ts';
import type { Skopeo } from './skopeo.ts';
import { settle } from './unpacking.ts';
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

/** How often the disk is looked at while bytes come. */
const LOOK_EVERY_MS = 200;

/**
 * Finds the parts of an image for this host, fetched where they are in a
 * registry; unpacks them, and moves the whole tree to its place. The caller
 * has the paths in the ledger, removes what is left when this fails, and lets
 * no second pull of the digest run.
 */
export async function pull(
  reference: Reference,
  resolved: Resolved,
  options: PullOptions,
  { signal, whose }: ForWhom,
  report: OnBytes,
): Promise<ResultOf<'image-tree'>> {
  const { files, paths, clock, lookup } = options;
  const name = nameOf(reference);
  const place = paths.tree(resolved.digest);
  await files.makeDirectory(paths.trees, 0o700);
  await files.makeDirectory(place.work, 0o700);
  await files.makeDirectory(place.partial, 0o700);
  const local = reference.from === 'registry' ? undefined : await lookup.open(reference, place.work, signal);
  const image = await lookup.choose(reference, resolved, local, signal);
  const artifact = requireUsable(image.manifest, name);
  requireFewLayers(image.manifest.layers.length, name, options.bounds);
  const total = layerBytes(image.manifest.layers);
  // The layers of a registry come packed, and are on the disk together with what they unpack to: at least as much again.
  const why = local
    ? `layers of ${Math.ceil(total / 2 ** 20)} MB, unpacked to at least as much`
    : `layers of ${Math.ceil(total / 2 ** 20)} MB, and at least as much again unpacked`;
  using reservation = await options.reservations.reserve(total * (local ? 1 : 2), `pull image "${name}"`, why);
  const tell: OnBytes = (done, all) => {
    // What has come is no longer promised.
    if (!local) reservation.used(done);
    report(done, all);
  };
  const store =
    reference.from === 'registry'
      ? await fetch(place.work, reference, image, resolved, total, options, signal, tell)
      : local;
  if (!store) throw new Error('a local image without its parts');
  const content = await contentOf(store, image.manifest, name, options.platform);
  const size = await options.diskWork.run(signal, () => unpack(content, place.partial, name, options, signal), whose);
  if (total > 0) tell(total, total);
  await files.remove(place.work);
  signal.throwIfAborted();
  await files.rename(place.partial, place.home);
  const { os, architecture } = content.platform;
  return {
    ...{ ...size, os, architecture, pulledAt: clock.now() },
    ...(artifact === undefined ? { process: content.process ?? null } : { artifact }),
  };
}

/** What the registry has of an image, in a directory. */
async function fetch(
  work: string,
  reference: RegistryReference,
  { digest, manifest }: Chosen,
  resolved: Resolved,
  total: number,
  options: PullOptions,
  signal: AbortSignal,
  report: OnBytes,
): Promise<BlobStore> {
  const { files, clock, skopeo, stallTimeoutMs, paths } = options;
  const name = nameOf(reference);
  requireHere(manifest, name);
  const directory = `${work}/copied`;
  const scratch = `${work}/tmp`;
  await files.makeDirectory(directory, 0o700);
  await files.makeDirectory(scratch, 0o700);
  let seen = -1;
  let most = 0;
  let grewAt = clock.now();
  const look = async (): Promise<void> => {
    const done = await sizeOf(files, directory);
    const now = clock.now();
    if (done !== seen) {
      seen = done;
      grewAt = now;
      // A look while skopeo renames a blob misses it, and what has come does not go.
      most = Math.max(most, total > 0 ? Math.min(done, total) : done);
      report(most, total);
    } else if (now - grewAt > stallTimeoutMs) {
      throw new PullFault(
        'timeout',
        `Cannot pull image "${name}": no byte came for ${stallTimeoutMs} ms, after ${done}`,
        { soon: true },
      );
    }
    await keepFree(files, paths.directory, options.keepFreeBytes, `pull image "${name}"`);
  };
  const copy = async (from: RegistryReference): Promise<void> => {
    try {
      await underWatch(clock, signal, LOOK_EVERY_MS, look, (watched) => skopeo.copy(from, directory, scratch, watched));
    } catch (error) {
      throw explain(error, name);
    }
  };
  try {
    // By its digest: a tag may move, and what comes is checked against it.
    await copy({ ...reference, digest });
  } catch (error) {
    // A registry may keep a manifest by another digest than ours (sha512), and give it by its tag alone.
    const isTop = reference.digest === undefined && digest === resolved.digest;
    if (!(isTop && error instanceof Fault && error.kind === 'not_found')) throw error;
    await copy(reference);
    await requireStill(digest, `${directory}/manifest.json`, name, files);
  }
  if (total > 0) report(total, total);
  return copiedStore(files, directory);
}

/** What came by a tag is what the tag led to before. */
async function requireStill(digest: string, manifest: string, name: string, files: Files): Promise<void> {
  const bytes = await files.read(manifest, { maxBytes: MAX_MANIFEST_BYTES });
  if (bytes && digestOf(bytes, digest) === digest) return;
  throw new PullFault('tool', `Cannot pull image "${name}": the tag moved while it was pulled`, { soon: true });
}

async function unpack(
  { parts }: Content,
  partial: string,
  name: string,
  options: PullOptions,
  signal: AbortSignal,
): Promise<{ bytes: number; inodes: number }> {
  const { run, clock, files, paths, bounds, keepFreeBytes, unpackTimeoutMs: timeoutMs } = options;
  const rootfs = `${partial}/rootfs`;
  await files.makeDirectory(rootfs, 0o755);
  const packedBytes = parts.reduce((sum, { blob }) => sum + blob.size, 0);
  const { maxInodes, maxInDirectory } = bounds;
  const limits = { maxBytes: maxBytesOf(packedBytes, bounds), maxInodes, maxInDirectory, keepFreeBytes };
  const input = toInput({ is: 'unpack', target: rootfs, parts, limits });
  const look = (): Promise<void> => keepFree(files, paths.directory, keepFreeBytes, `unpack image "${name}"`);
  const { bytes, inodes } = await settle(
    name,
    paths.directory,
    () =>
      underWatch(clock, signal, LOOK_EVERY_MS, look, (watched) => run(UNPACK, { signal: watched, timeoutMs, input })),
    (outcome) => beyond(outcome, packedBytes, name, bounds),
  );
  // The ledger will say for ever that all of it is there: it must be, also after a power cut.
  await run(['sync', '--file-system', rootfs], { signal, timeoutMs });
  return { bytes, inodes };
}

/** Bytes that have come. */
async function sizeOf(files: Files, directory: string): Promise<number> {
  const names = await files.list(directory);
  const sizes = await Promise.all(
    names.map(async (name) => (await files.stat(`${directory}/${name}`))?.sizeBytes ?? 0),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

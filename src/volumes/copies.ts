import { allDone } from '../base/all-done.ts';
import { TimeLimit } from '../base/time-limit.ts';
import type { DiskFormat } from '../domain/capabilities.ts';
import { Fault } from '../domain/fault.ts';
import { noRoom } from '../domain/room-words.ts';
import type { Files } from '../ports/host.ts';
import type { Log } from '../ports/log.ts';
import type { CopyKind, Disk, Volumes } from '../ports/volumes.ts';
import { overlayOf } from './qcow2.ts';

export interface VolumesOptions {
  /** Where the volumes will lie, on the file system of the disk images; it is there. */
  readonly directory: string;
  readonly files: Files;
  readonly log: Log;
  /** Whether the directory lies in memory. Default: no. */
  readonly inMemory?: boolean;
  readonly signal: AbortSignal;
  /** For one copy. Default: 10 minutes. */
  readonly timeoutMs?: number;
}

interface Golden {
  readonly path: string;
  readonly sizeInMb: number;
}

const MB = 2 ** 20;

/** Finds out, by trying, how copies are made most cheaply here. */
export async function chooseVolumes(options: VolumesOptions): Promise<Volumes> {
  const reflinks = await hasReflinks(options);
  const by = reflinks ? 'reflink' : 'qcow2 where the VMM takes it, else sparse';
  options.log.info('volumes are copied by', { kind: by, directory: options.directory });
  return new CopiedVolumes(reflinks, options);
}

/** @returns false also where there is no room to try it: a full disk must not keep the daemon from serving. */
async function hasReflinks({ directory, files, log, signal }: VolumesOptions): Promise<boolean> {
  const from = `${directory}/.reflink-probe`;
  const to = `${from}-copy`;
  try {
    await files.remove(to);
    await files.write(from, new Uint8Array(4096));
    await files.copy(from, to, 'reflink', signal);
    return true;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    if (error.kind === 'refused') return false;
    if (error.kind !== 'full') throw error;
    log.warn('whether volumes can be copied by reflink is not known until the next start', { error: error.message });
    return false;
  } finally {
    await files.remove(from);
    await files.remove(to);
  }
}

/** An overlay is known by its name: a later daemon, and another VMM, see the same. */
const OVERLAY = '.qcow2';

class CopiedVolumes implements Volumes {
  readonly inMemory: boolean;
  readonly #options: VolumesOptions;
  readonly #reflinks: boolean;

  constructor(reflinks: boolean, options: VolumesOptions) {
    this.#reflinks = reflinks;
    this.inMemory = options.inMemory ?? false;
    this.#options = options;
  }

  kindFor(formats: readonly DiskFormat[]): CopyKind {
    if (this.#reflinks) return 'reflink';
    return formats.includes('qcow2') ? 'qcow2' : 'sparse';
  }

  pathFor(directory: string, index: number, formats: readonly DiskFormat[]): string {
    return `${directory}/disk${index}${this.kindFor(formats) === 'qcow2' ? OVERLAY : '.img'}`;
  }

  async make(golden: Golden, path: string, signal: AbortSignal): Promise<Disk> {
    const { files, timeoutMs = 600_000 } = this.#options;
    const disk = describe(golden, path);
    const partial = partialOf(path);
    // Renamed means whole; and it may have been written to since: never make it anew.
    const [whole, half] = await allDone([files.stat(path), files.stat(partial)]);
    if (whole) return disk;
    if (half) await files.remove(partial);
    try {
      using limit = new TimeLimit(signal, timeoutMs);
      await this.#copy(golden, partial, disk.format, limit.signal);
      signal.throwIfAborted();
      await files.rename(partial, path);
    } catch (error) {
      await files.remove(partial);
      signal.throwIfAborted();
      throw explain(error, golden, path);
    }
    return disk;
  }

  async remove(path: string): Promise<void> {
    await this.#options.files.remove(partialOf(path));
    await this.#options.files.remove(path);
  }

  async #copy({ path: from, sizeInMb }: Golden, partial: string, format: DiskFormat, signal: AbortSignal) {
    const { files } = this.#options;
    if (format === 'raw') return files.copy(from, partial, this.#reflinks ? 'reflink' : 'sparse', signal);
    if ((await files.stat(from))?.kind !== 'file')
      throw new Fault('tool', `Cannot lay an overlay over ${from}: there is no such file`);
    const { sizeBytes, pieces } = overlayOf(from, sizeInMb * MB);
    await files.writeSparse(partial, sizeBytes, pieces);
  }
}

const describe = ({ path: backing, sizeInMb }: Golden, path: string): Disk =>
  path.endsWith(OVERLAY) ? { path, format: 'qcow2', backing, sizeInMb } : { path, format: 'raw', sizeInMb };

const partialOf = (path: string): string => `${path}.partial`;

function explain(error: unknown, golden: Golden, path: string): unknown {
  if (error instanceof DOMException && error.name === 'TimeoutError')
    return new Fault('timeout', `Cannot copy ${golden.path} to ${path} in time`, { reason: 'Timeout' });
  if (!(error instanceof Fault)) return error;
  if (error.kind === 'full')
    return new Fault('full', `Cannot copy ${golden.path} to ${path}: ${noRoom(error.message)}`, {
      reason: 'StorageFull',
      cause: error,
    });
  return error;
}

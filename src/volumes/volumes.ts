import { TimeLimit } from '../base/time-limit.ts';
import { Fault } from '../domain/fault.ts';
import { noRoom } from '../domain/room-words.ts';
import type { Files, Run } from '../ports/host.ts';
import type { Log } from '../ports/log.ts';
import type { CopyKind, Disk, Volumes } from '../ports/volumes.ts';

export interface VolumesOptions {
  /** Where the volumes will lie, on the file system of the disk images; it is there. */
  readonly directory: string;
  readonly run: Run;
  readonly files: Files;
  readonly log: Log;
  /** Whether every VMM here can attach qcow2. */
  readonly allowQcow2: boolean;
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

/** Makes one copy at `partial`, which is not there. */
type MakeCopy = (golden: Golden, partial: string, signal: AbortSignal) => Promise<void>;

const MB = 2 ** 20;

/** Finds out, by trying, how copies are made most cheaply here. */
export async function chooseVolumes(options: VolumesOptions): Promise<Volumes> {
  const kind = await cheapest(options);
  options.log.info('volumes are copied by', { kind, directory: options.directory });
  return new CopiedVolumes(kind, options);
}

async function cheapest(options: VolumesOptions): Promise<CopyKind> {
  if (await hasReflinks(options)) return 'reflink';
  if (!options.allowQcow2) return 'sparse';
  try {
    await options.run(['qemu-img', '--version'], { signal: options.signal, timeoutMs: 60_000 });
    return 'qcow2';
  } catch (error) {
    options.signal.throwIfAborted();
    options.log.warn('qemu-img does not run, so volumes are copied whole; install qemu-utils', {
      error,
    });
    return 'sparse';
  }
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

class CopiedVolumes implements Volumes {
  readonly kind: CopyKind;
  readonly inMemory: boolean;
  readonly #options: VolumesOptions;
  readonly #copy: MakeCopy;

  constructor(kind: CopyKind, options: VolumesOptions) {
    this.kind = kind;
    this.inMemory = options.inMemory ?? false;
    this.#options = options;
    const { files } = options;
    this.#copy =
      kind === 'qcow2'
        ? (golden, partial, signal) => this.#overlay(golden, partial, signal)
        : (golden, partial, signal) => files.copy(golden.path, partial, kind, signal);
  }

  pathFor(directory: string, index: number): string {
    return `${directory}/disk${index}.${this.kind === 'qcow2' ? 'qcow2' : 'img'}`;
  }

  async make(golden: Golden, path: string, signal: AbortSignal): Promise<Disk> {
    const { files, timeoutMs = 600_000 } = this.#options;
    const disk = this.#describe(golden, path);
    // Renamed means whole; and it may have been written to since: never make it anew.
    if (await files.stat(path)) return disk;
    const partial = partialOf(path);
    await files.remove(partial);
    try {
      using limit = new TimeLimit(signal, timeoutMs);
      await this.#copy(golden, partial, limit.signal);
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

  async #overlay({ path: backing, sizeInMb }: Golden, partial: string, signal: AbortSignal): Promise<void> {
    const { run, timeoutMs = 600_000 } = this.#options;
    // The format below is said, never probed: a guest could write a header that names a file of the host.
    const argv = ['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', backing] as const;
    await run([...argv, partial, String(sizeInMb * MB)], { signal, timeoutMs });
  }

  #describe(golden: Golden, path: string): Disk {
    const { sizeInMb } = golden;
    return this.kind === 'qcow2'
      ? { path, format: 'qcow2', backing: golden.path, sizeInMb }
      : { path, format: 'raw', sizeInMb };
  }
}

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

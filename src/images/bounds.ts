import { Fault } from '../domain/fault.ts';
import type { Clock } from '../ports/clock.ts';
import type { Run } from '../ports/host.ts';
import { measureTree, type TreeSize } from './ext4.ts';
import { invalid } from './lookup.ts';

/** What an image may unpack to. */
export interface Bounds {
  /** umoci unpacks them one after the other, each with a look through its files. */
  readonly maxLayers: number;
  /** Files, directories and links in all. */
  readonly maxInodes: number;
  /** In one directory: mke2fs(8) looks through the directory for each name that it adds. */
  readonly maxInDirectory: number;
  /** Bytes for each packed one, above `freeBytes`. */
  readonly maxRatio: number;
  readonly freeBytes: number;
}

/**
 * Docker's own limit is 127 layers. 1,000 layers of one file took umoci 0.4.7 over two minutes.
 * A large distribution has 400,000 files. mke2fs 1.47 took 37 s for 25,000 empty files in one directory and 151 s for
 * 50,000, on two busy cores. gzip packs text to a tenth, and zeros to a thousandth.
 */
export const DEFAULT_BOUNDS: Bounds = {
  maxLayers: 256,
  maxInodes: 500_000,
  maxInDirectory: 20_000,
  maxRatio: 100,
  freeBytes: 1 << 30,
};

/** Counting takes at most this part of the time: a tree of very many files is slow to count. */
const COUNT_EVERY = 10;

interface WatchOptions {
  readonly run: Run;
  readonly clock: Clock;
  readonly timeoutMs: number;
}

/**
 * Looks after a tree while it grows.
 * @throws Fault ImageInvalid, from both, when it goes beyond its bounds
 */
export function treeWatch(
  tree: string,
  packedBytes: number,
  name: string,
  bounds: Bounds,
  { run, clock, timeoutMs }: WatchOptions,
): { look(signal: AbortSignal): Promise<void>; measure(signal: AbortSignal): Promise<TreeSize> } {
  const maxBytes = packedBytes * bounds.maxRatio + bounds.freeBytes;
  let due = 0;
  const measure = async (signal: AbortSignal): Promise<TreeSize> => {
    const size = await measureTree(tree, { run, signal, timeoutMs });
    const fault = beyond(size, packedBytes, maxBytes, name, bounds);
    if (fault) throw fault;
    return size;
  };
  return {
    measure,
    async look(signal) {
      const began = clock.elapsed();
      if (began < due) return;
      try {
        await measure(signal);
      } catch (error) {
        if (error instanceof Fault && error.reason === 'ImageInvalid') throw error;
        signal.throwIfAborted();
        // What vanishes while it is counted, or is not there yet, is judged at the end.
      }
      due = clock.elapsed() + (clock.elapsed() - began) * COUNT_EVERY;
    },
  };
}

function beyond(
  { bytes, inodes }: TreeSize,
  packedBytes: number,
  maxBytes: number,
  name: string,
  { maxInodes, maxRatio }: Bounds,
): Fault | undefined {
  const mb = (count: number): string => `${Math.ceil(count / 2 ** 20)} MB`;
  if (inodes > maxInodes)
    return invalid(name, `it holds more than ${maxInodes} files and directories; put fewer or larger files in it`);
  if (bytes > maxBytes)
    return invalid(
      name,
      `its layers of ${mb(packedBytes)} unpack to more than ${mb(maxBytes)}, over ${maxRatio} times their size: they hold little but zeros`,
    );
  return undefined;
}

/** @throws Fault ImageInvalid when there are too many */
export function requireFewLayers(count: number, name: string, { maxLayers }: Bounds): void {
  if (count > maxLayers)
    throw invalid(name, `it has ${count} layers, and ${maxLayers} are the most; build it with fewer, or squash it`);
}

/** @throws Fault ImageInvalid when one directory holds too many */
export async function requireSpread(
  tree: string,
  name: string,
  { maxInDirectory }: Bounds,
  { run, signal, timeoutMs }: { readonly run: Run; readonly signal: AbortSignal; readonly timeoutMs: number },
): Promise<void> {
  // The directory itself counts as one.
  const argv = ['du', '--inodes', '--separate-dirs', '--null', `--threshold=${maxInDirectory + 2}`] as const;
  const [first] = (await run([...argv, '--', tree], { signal, timeoutMs })).split('\0');
  if (!first) return;
  const [count = '', path = ''] = first.split('\t');
  const where =
    path
      .slice(tree.length)
      .replace(/[\p{Cc}]/gu, '?')
      .slice(0, 200) || '/';
  throw invalid(
    name,
    `its directory "${where}" holds ${Number(count) - 1} files, and ${maxInDirectory} are the most that a disk image is made of in good time; spread them over more directories`,
  );
}

import type { Fault } from '../domain/fault.ts';
import type { Outcome } from '../unpack/job.ts';
import { invalid } from './image-faults.ts';

/** What an image may unpack to. */
export interface Bounds {
  /** They are unpacked one after the other. */
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
 * Docker's own limit is 127 layers.
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

/** What all layers together may unpack to, in bytes. */
export const maxBytesOf = (packedBytes: number, { maxRatio, freeBytes }: Bounds): number =>
  packedBytes * maxRatio + freeBytes;

/** An image that goes beyond its bounds. */
export function beyond(
  { what, where, count }: Extract<Outcome, { is: 'beyond' }>,
  packedBytes: number,
  name: string,
  bounds: Bounds,
): Fault {
  const mb = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MB`;
  const { maxInodes, maxInDirectory, maxRatio } = bounds;
  switch (what) {
    case 'inodes':
      return invalid(name, `it holds more than ${maxInodes} files and directories; put fewer or larger files in it`);
    case 'bytes':
      return invalid(
        name,
        `its layers of ${mb(packedBytes)} unpack to more than ${mb(maxBytesOf(packedBytes, bounds))}, over ${maxRatio} times their size: they hold little but zeros`,
      );
    case 'directory':
      return invalid(
        name,
        `its directory "${where || '/'}" holds ${count} files, and ${maxInDirectory} are the most that a disk image is made of in good time; spread them over more directories`,
      );
  }
}

/** @throws Fault ImageInvalid when there are too many */
export function requireFewLayers(count: number, name: string, { maxLayers }: Bounds): void {
  if (count > maxLayers)
    throw invalid(name, `it has ${count} layers, and ${maxLayers} are the most; build it with fewer, or squash it`);
}

import { type StatsFs, statfsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';

/** What a file system has left for whoever is not its root's reserve. */
export interface Room {
  readonly bytes: number;
  /** Infinite where they are made as they are needed. */
  readonly inodes: number;
}

export const roomAt = async (path: string): Promise<Room> => roomOf(await statfs(path));

const roomOf = ({ bavail, bsize, files, ffree }: StatsFs): Room => ({
  bytes: bavail * bsize,
  inodes: files === 0 ? Number.POSITIVE_INFINITY : ffree,
});

const leftText = (at: string, { bytes, inodes }: Room): string =>
  `the file system of ${at} has ${Math.floor(bytes / 1024)} KiB and ${inodes} inodes left`;

/**
 * What is left where a path lies, much or little, for who knows already that it was not enough and cannot wait.
 * @returns in words; undefined: it cannot be looked at
 */
export function roomText(path: string): string | undefined {
  for (let at = path; ; at = dirname(at)) {
    try {
      return leftText(at, roomOf(statfsSync(at)));
    } catch {
      if (at === dirname(at)) return undefined;
    }
  }
}

/** What is left when Linux has said that there is nothing: less than a piece that somebody may have wanted. */
const LITTLE_BYTES = 1 << 20;

/**
 * ENOSPC is said of blocks, of inodes, and of much else: an attribute too
 * large for its place, a full table. Which disk it is of, if any.
 * @param needed - bytes that there was to be room for
 * @returns what is left on the first of the paths' disks that is full, in words; undefined: none is
 */
export async function fullDisk(paths: readonly string[], needed = 0): Promise<string | undefined> {
  for (const path of new Set(paths)) {
    const found = await nearest(path);
    if (!found) continue;
    const { at, room } = found;
    if (room.inodes < 1) return `the file system of ${at} has no inodes left`;
    if (room.bytes < needed + LITTLE_BYTES) return leftText(at, room);
  }
  return undefined;
}

/** Of the path, or of what it would lie in. */
async function nearest(path: string): Promise<{ at: string; room: Room } | undefined> {
  for (let at = path; ; at = dirname(at)) {
    try {
      return { at, room: await roomAt(at) };
    } catch {
      // Whatever keeps us from a look at it keeps us from a judgement.
      if (at === dirname(at)) return undefined;
    }
  }
}

import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { PinnedSocket } from '../ports/host.ts';

/** Of Linux on x86-64 and arm64; Node does not name it. @see open(2) */
const O_PATH = 0o10_000_000;

/**
 * See `Files.pinSocket`. What a descriptor leads to is looked at, and then connected to by that descriptor: between the two
 * nobody can change it.
 *
 * @throws Node's errors
 */
export async function pinSocket(path: string, owner: number): Promise<PinnedSocket | undefined> {
  const file = await open(path, O_PATH | constants.O_NOFOLLOW);
  let isHis = false;
  try {
    const found = await file.stat();
    isHis = found.isSocket() && found.uid === owner;
  } finally {
    if (!isHis) await file.close();
  }
  return isHis ? { path: `/proc/self/fd/${file.fd}`, release: () => file.close() } : undefined;
}

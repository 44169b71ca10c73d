import { Fault } from '../domain/fault.ts';
import { fullDisk } from './disk-room.ts';
import { isErrno } from './run.ts';

/** @returns undefined where there is no such file */
export async function orUndefined<T>(act: () => Promise<T>): Promise<T | undefined> {
  try {
    return await act();
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

/**
 * Node's errors become Faults here and nowhere else.
 * @param where - a path on the disk in question
 * @param needed - bytes that there was to be room for, where that is known: what was half made is gone again
 */
export async function guard<T>(what: string, act: () => Promise<T>, where?: string, needed = 0): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    if (cause instanceof Fault || !(cause instanceof Error) || !('code' in cause)) throw cause;
    const fault = (kind: 'full' | 'tool', why: string): Fault =>
      new Fault(kind, `Cannot ${what}: ${why}`, { cause, ...(kind === 'full' && { reason: 'StorageFull' }) });
    if (isErrno(cause, 'EDQUOT')) throw fault('full', 'no space left in the quota of the disk');
    if (isErrno(cause, 'ENOSPC')) {
      const room = await fullDisk(where === undefined ? pathsOf(cause) : [where], needed);
      if (room !== undefined) throw fault('full', `no space left on the disk: ${room}`);
      throw fault('tool', `${cause.message}, although the disk has room: its file system cannot hold this`);
    }
    if (isErrno(cause, 'EROFS')) throw fault('tool', `${cause.message}: remount it for writing`);
    if (isErrno(cause, 'EIO')) throw fault('tool', `${cause.message}: the disk may be damaged, dmesg says more`);
    throw fault('tool', cause.message);
  }
}

/** Those that Node's error names. */
const pathsOf = (error: Error): readonly string[] =>
  ['path', 'dest'].flatMap((key) => {
    const path: unknown = Object.entries(error).find(([name]) => name === key)?.[1];
    return typeof path === 'string' ? [path] : [];
  });

import * as fs from 'node:fs/promises';
import { Fault } from '../domain/fault.ts';
import { orUndefined } from './file-faults.ts';
import { isErrno } from './run.ts';

/**
 * Removes a file, or a directory with all below it; not there is success.
 * @throws Fault `refused` where something is mounted in it; Node's own
 */
export async function removeAll(path: string): Promise<void> {
  // What is most often removed is a file, or not there: then one call says so.
  if (!(await unlinkUnlessDirectory(path))) return;
  await requireNoMount(path);
  await fs.rm(path, { recursive: true, force: true });
}

/** @returns whether it is a directory, and still there */
async function unlinkUnlessDirectory(path: string): Promise<boolean> {
  try {
    await fs.unlink(path);
  } catch (error) {
    if (isErrno(error, 'EISDIR')) return true; // Linux says so, where POSIX would have EPERM
    if (!isErrno(error, 'ENOENT', 'ENOTDIR')) throw error;
  }
  return false;
}

/**
 * What somebody mounted in a directory is his, not ours to empty.
 * @throws Fault `refused`
 * @see proc_pid_mountinfo(5)
 */
async function requireNoMount(path: string): Promise<void> {
  const info = await orUndefined(() => fs.lstat(path));
  if (!info?.isDirectory()) return;
  // A blank, tab, line end or backslash is three octal digits there.
  const written = path.replaceAll(/[ \t\n\\]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`);
  const points = (await fs.readFile('/proc/self/mountinfo', 'utf8'))
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '');
  const inside = points.find((point) => point === written || point.startsWith(`${written}/`));
  if (inside !== undefined)
    throw new Fault('refused', `Cannot remove ${path}: something is mounted at ${inside}; unmount it, and it goes on`);
}

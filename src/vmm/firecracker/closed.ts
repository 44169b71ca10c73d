import type { Files } from '../../ports/host.ts';

/**
 * Why a Firecracker that runs as a user of its own did not find a file of the host's open: which says no more than that it is so.
 * @returns a clause; undefined where by all that is seen he may open it
 */
export async function whyClosed(
  path: string,
  user: number,
  files: Pick<Files, 'realPath' | 'stat'>,
): Promise<string | undefined> {
  const real = await files.realPath(path);
  const info = real === undefined ? undefined : await files.stat(real);
  if (!info) return `${path} is not there`;
  const { owner, mode } = info;
  if (!owner) return undefined;
  const shift = owner.user === user ? 6 : owner.group === user ? 3 : 0;
  if (((mode >> shift) & 0o4) !== 0) return undefined;
  return `${path} is user ${owner.user}'s with mode ${mode.toString(8).padStart(4, '0')}, and its Firecracker is user ${user}`;
}

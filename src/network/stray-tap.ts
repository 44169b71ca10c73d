import { allDone } from '../base/all-done.ts';
import type { Files } from '../ports/host.ts';

/** What the kernel names the node of a macvtap, in whichever network namespace that is. */
const NODE = /^(\/dev\/tap\d+)(?: \(deleted\))?$/;

/**
 * @param given - the nodes of the VMM's own macvtaps
 * @throws what keeps it from being seen: that is never taken for none
 * @see proc(5), /proc/PID/fd
 */
export async function strayTap(
  files: Pick<Files, 'list' | 'readLink' | 'stat'>,
  pid: number,
  given: readonly string[],
): Promise<string | undefined> {
  const directory = `/proc/${pid}/fd`;
  const targets = (await files.list(directory)).map(async (name) => {
    const path = `${directory}/${name}`;
    const target = await files.readLink(path).catch(async (error: unknown) => {
      if (await files.stat(path)) throw error;
      return ''; // it was closed meanwhile
    });
    return NODE.exec(target)?.[1] ?? [];
  });
  return (await allDone(targets)).flat().find((node) => !given.includes(node));
}

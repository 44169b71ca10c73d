import type { Files } from '../ports/host.ts';

/** What the kernel names the node of a macvtap, in whichever network namespace that is. */
const NODE = /^(\/dev\/tap\d+)(?: \(deleted\))?$/;

/**
 * @param given - the nodes of the VMM's own macvtaps
 * @see proc(5), /proc/PID/fd
 */
export async function strayTap(
  files: Pick<Files, 'list' | 'readLink'>,
  pid: number,
  given: readonly string[],
): Promise<string | undefined> {
  const directory = `/proc/${pid}/fd`;
  for (const name of await files.list(directory)) {
    // One that was closed meanwhile leads nowhere.
    const target = await files.readLink(`${directory}/${name}`).catch(() => undefined);
    const node = NODE.exec(target ?? '')?.[1];
    if (node !== undefined && !given.includes(node)) return node;
  }
  return undefined;
}

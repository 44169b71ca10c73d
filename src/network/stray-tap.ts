import type { Files } from '../ports/host.ts';

/** What the kernel names the node of a macvtap, in whichever network namespace that is. Ours have names of our own. */
const NODE = /^(\/dev\/tap\d+)(?: \(deleted\))?$/;

/** @see proc(5), /proc/PID/fd */
export async function strayTap(files: Pick<Files, 'list' | 'readLink'>, pid: number): Promise<string | undefined> {
  const directory = `/proc/${pid}/fd`;
  for (const name of await files.list(directory)) {
    const node = NODE.exec((await files.readLink(`${directory}/${name}`)) ?? '')?.[1];
    if (node !== undefined) return node;
  }
  return undefined;
}

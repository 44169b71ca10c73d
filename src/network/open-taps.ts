import type { Files } from '../ports/host.ts';

/** What a tap is opened through; in a VMM's own root, too. */
const NODE = /\/net\/tun$/;

/**
 * The taps that a process has open, by their present names; that of one which was deleted is empty. Undefined where the
 * process is gone or cannot be looked at.
 *
 * @see proc(5), /proc/PID/fdinfo: `iff`
 */
export async function openTaps(
  files: Pick<Files, 'list' | 'readLink' | 'read'>,
  pid: number,
): Promise<readonly string[] | undefined> {
  const found: string[] = [];
  const numbers = await files.list(`/proc/${pid}/fd`).catch(() => undefined);
  if (!numbers) return undefined;
  for (const number of numbers) {
    try {
      if (!NODE.test(await files.readLink(`/proc/${pid}/fd/${number}`))) continue;
      const info = await files.read(`/proc/${pid}/fdinfo/${number}`, { maxBytes: 4_096 });
      const iff = /^iff:[ \t]*(\S*)$/m.exec(new TextDecoder().decode(info))?.[1];
      if (iff !== undefined) found.push(iff);
    } catch {
      // It was closed meanwhile.
    }
  }
  return found;
}

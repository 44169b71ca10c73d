import { Fault } from '../../domain/fault.ts';
import type { Files } from '../../ports/host.ts';
import type { Thing } from './thing.ts';

/**
 * What is mounted below directories of ours, and loop devices over files
 * there. We make neither: each is somebody's doing, and what it shows is his.
 * @see proc_pid_mountinfo(5)
 */
export async function mountsAndLoops(files: Files, roots: readonly string[]): Promise<Thing[]> {
  const isBelow = (path: string): boolean => roots.some((root) => path.startsWith(`${root}/`));
  // One over another at the same place is one place.
  const mounts = [...new Set(await mountPoints(files))]
    .filter(isBelow)
    .map((name): Thing => ({ kind: 'mount', name, detail: 'in a directory of ours; we mount nothing' }));
  const loops: Thing[] = [];
  for (const device of (await files.list('/sys/block')).filter((name) => /^loop\d+$/.test(name))) {
    const file = (await textOf(files, `/sys/block/${device}/loop/backing_file`)).trim();
    if (isBelow(file))
      loops.push({ kind: 'loop-device', name: `/dev/${device}`, detail: `of ${file}; we make no loop devices` });
  }
  return [...mounts, ...loops];
}

/**
 * For whoever removes a path with everything below: what is mounted there, or above it in a directory of ours, is not
 * ours to remove.
 * @throws Fault `refused`
 */
export async function requireNoMount(files: Files, path: string, roots: readonly string[]): Promise<void> {
  const inside = (await mountPoints(files))
    .filter((mount) => roots.some((root) => mount.startsWith(`${root}/`)))
    .find((mount) => mount === path || mount.startsWith(`${path}/`) || path.startsWith(`${mount}/`));
  if (inside !== undefined)
    throw new Fault('refused', `cannot tell whose files are mounted at ${inside}: unmount it and try again`);
}

async function mountPoints(files: Files): Promise<string[]> {
  const lines = (await textOf(files, '/proc/self/mountinfo')).split('\n');
  return lines.flatMap((line) => {
    const path = line.split(' ')[4];
    // A blank, tab, line end or backslash is three octal digits.
    return path === undefined
      ? []
      : path.replaceAll(/\\([0-7]{3})/g, (_, code) => String.fromCharCode(parseInt(code, 8)));
  });
}

async function textOf(files: Files, path: string): Promise<string> {
  const bytes = await files.read(path);
  return bytes === undefined ? '' : new TextDecoder().decode(bytes);
}

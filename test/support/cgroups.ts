import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Where hierarchies are mounted, of version 1, 2 and both. */
const ROOTS = ['memory', 'pids', 'unified', ''].map((name) => join('/sys/fs/cgroup', name));
const DEPTH = 6;

/** Every cgroup that carries the name of the daemon of a state directory, found by looking at all there are. */
export function cgroupsOf(stateDirectory: string): string[] {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
  const digest = createHash('sha256').update(stateDirectory).digest();
  const name = `flintlock-${[...digest.subarray(0, 4)].map((byte) => alphabet[byte % 32]).join('')}`;
  const found = new Set<string>();
  const walk = (directory: string, isInside: boolean, depth: number): void => {
    if (isInside) found.add(directory);
    if (depth === 0) return;
    for (const child of directoriesIn(directory)) {
      const path = join(directory, child);
      if (isInside || directory !== '/sys/fs/cgroup' || !ROOTS.includes(path))
        walk(path, isInside || child === name, depth - 1);
    }
  };
  for (const root of ROOTS) walk(root, false, DEPTH);
  return [...found];
}

/** Processes in any of these cgroups: what is told nothing by its path is found so. */
export function processesIn(stateDirectory: string): ReadonlySet<number> {
  const lists = cgroupsOf(stateDirectory).map((path) => {
    try {
      return readFileSync(`${path}/cgroup.procs`, 'latin1');
    } catch {
      return ''; // gone meanwhile
    }
  });
  return new Set(lists.flatMap((list) => list.split('\n').filter(Boolean)).map(Number));
}

/** Removes whatever a test left there. Its processes have ended, but the kernel may not be through with that. */
export async function removeCgroups(stateDirectory: string): Promise<void> {
  const end = Date.now() + 10_000;
  for (const path of cgroupsOf(stateDirectory).toReversed())
    while (!isRemoved(path)) {
      if (Date.now() > end) throw new Error(`The cgroup ${path} is in use: ${readFileSync(`${path}/cgroup.procs`)}`);
      await sleep(10);
    }
}

function isRemoved(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code !== 'EBUSY' && code !== 'ENOENT') throw error;
    return code === 'ENOENT';
  }
}

function directoriesIn(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true }).flatMap((one) => (one.isDirectory() ? [one.name] : []));
  } catch {
    return []; // gone meanwhile, or no such hierarchy
  }
}

import { setTimeout as sleep } from 'node:timers/promises';
import { allDone } from '../base/all-done.ts';
import { type CgroupPlace, cgroupPlaces, cgroupRoots } from '../domain/cgroup-places.ts';
import { Fault } from '../domain/fault.ts';
import type { CgroupIntent, Cgroups } from '../ports/cgroups.ts';
import type { Files } from '../ports/host.ts';

export interface CgroupsOptions {
  readonly files: Files;
  /** The directory's name: see `cgroupName`. */
  readonly name: string;
  readonly setting: 'auto' | 'off';
}

/** The files that hold the limits, by version and controller. @see Documentation/admin-guide/cgroup-v1, cgroup-v2.rst */
const FILES = {
  1: { memory: 'memory.limit_in_bytes', pids: 'pids.max' },
  2: { memory: 'memory.max', pids: 'pids.max' },
} as const;

/** A process that is killed leaves its cgroup a moment later. */
const EMPTY_MS = 5_000;
const LOOK_MS = 5;
/** How deep a service manager or a container runtime nests. */
const DEPTH = 8;

/**
 * Looks once what this host can do.
 * @returns `why` there are no limits, in words; absent when there are
 */
export async function createCgroups({ files, name, setting }: CgroupsOptions): Promise<{
  readonly cgroups: Cgroups;
  readonly why?: string;
}> {
  const mountinfo = await textOf(files, '/proc/self/mountinfo');
  const found = setting === 'off' ? [] : cgroupPlaces(mountinfo, await textOf(files, '/proc/self/cgroup'));
  const why = setting === 'off' ? 'they are switched off' : await obstacleOf(files, found, name);
  const places = why === undefined ? found : [];
  const cgroups: Cgroups = {
    of: (uid, { memoryInMb, tasks }) =>
      places.map(({ version, directory, controllers }): CgroupIntent => {
        const values = { memory: String(memoryInMb * 2 ** 20), pids: String(tasks) };
        const parent = `${directory}/${name}`;
        return {
          parent,
          directory: `${parent}/${uid}`,
          set: Object.fromEntries(controllers.map((one) => [FILES[version][one], values[one]])),
          enable: version === 1 ? [] : [...controllers],
        };
      }),

    async make(intents, signal) {
      signal.throwIfAborted();
      // Each hierarchy of version 1 has locks of its own.
      const one = async ({ parent, directory, set, enable }: CgroupIntent): Promise<void> => {
        await files.makeDirectory(directory, 0o755);
        if (enable.length > 0) await enableIn(files, parent, [...enable, ...(await cpuOf(files, parent))]);
        for (const [file, value] of Object.entries(set)) await files.overwrite(`${directory}/${file}`, value);
      };
      await allDone(intents.map(one));
    },

    async remove(intents, signal) {
      for (const { parent, directory } of intents) {
        const end = Date.now() + EMPTY_MS;
        while (!(await files.removeDirectory(directory))) {
          if (Date.now() > end)
            throw new Fault('refused', `Cannot remove the cgroup ${directory}: processes are in it`);
          await sleep(LOOK_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
        }
        await files.removeDirectory(parent); // the last one takes it along
      }
    },

    async list() {
      const lists = await Promise.all(cgroupRoots(mountinfo).map((root) => parentsBelow(files, root, name, DEPTH)));
      const below = lists.flat().map(async (parent) => {
        const children = await directoriesIn(files, parent);
        return children.map((child) => ({ parent, directory: `${parent}/${child}` }));
      });
      return (await Promise.all(below)).flat();
    },
  };
  return { cgroups, ...(why !== undefined && { why }) };
}

/** Tries it out, and leaves nothing. */
async function obstacleOf(files: Files, places: readonly CgroupPlace[], name: string): Promise<string | undefined> {
  if (places.length === 0) return 'no memory cgroups are mounted';
  for (const { version, directory, controllers } of places)
    try {
      const parent = `${directory}/${name}`;
      if (version === 2) await enableIn(files, directory, controllers);
      await files.makeDirectory(parent, 0o755);
      const there = await files.list(parent);
      await files.removeDirectory(parent); // it stays where microVMs run
      const missing = controllers.filter((one) => !there.includes(FILES[version][one]));
      if (missing.length > 0) return `${directory} does not control ${missing.join(' and ')}`;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return error.message;
    }
  return undefined;
}

/** Where CPUs are shared out by cgroups, each microVM weighs the same, whatever its threads. */
const cpuOf = async (files: Files, directory: string): Promise<string[]> =>
  (await textOf(files, `${directory}/cgroup.controllers`)).split(/\s+/).filter((one) => one === 'cpu');

async function enableIn(files: Files, directory: string, controllers: readonly string[]): Promise<void> {
  const file = `${directory}/cgroup.subtree_control`;
  const enabled = (await textOf(files, file)).split(/\s+/);
  const missing = controllers.filter((one) => !enabled.includes(one));
  if (missing.length > 0) await files.overwrite(file, missing.map((one) => `+${one}`).join(' '));
}

async function parentsBelow(files: Files, directory: string, name: string, depth: number): Promise<string[]> {
  const children = await directoriesIn(files, directory);
  const deeper = depth > 0 ? children.filter((child) => child !== name) : [];
  const below = await Promise.all(deeper.map((child) => parentsBelow(files, `${directory}/${child}`, name, depth - 1)));
  return [...children.filter((child) => child === name).map((child) => `${directory}/${child}`), ...below.flat()];
}

async function directoriesIn(files: Files, directory: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await files.list(directory))
    if ((await files.stat(`${directory}/${name}`))?.kind === 'directory') found.push(name);
  return found;
}

async function textOf(files: Files, path: string): Promise<string> {
  const bytes = await files.read(path);
  return bytes === undefined ? '' : new TextDecoder().decode(bytes).trim();
}

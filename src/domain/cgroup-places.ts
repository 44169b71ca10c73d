/** A place in a hierarchy of cgroups where more may be made. */
export interface CgroupPlace {
  readonly version: 1 | 2;
  readonly directory: string;
  /** Of version 1: what the hierarchy controls, of what is wanted. */
  readonly controllers: readonly CgroupController[];
}

export type CgroupController = 'memory' | 'pids';
/** A limit without the memory's is none: it comes first. */
export const CGROUP_CONTROLLERS = ['memory', 'pids'] as const satisfies readonly CgroupController[];

/**
 * Where a process may make cgroups with a memory limit. Of version 1 it is
 * below its own, so that whatever limits it limits them too. Of version 2 it is
 * the root that it sees: below a cgroup with processes in it nothing can be
 * limited, and what a service manager keeps for a service it may clear away.
 *
 * @param mountinfo - /proc/PID/mountinfo
 * @param own - /proc/PID/cgroup
 * @returns one for each hierarchy; none where no cgroups are mounted
 * @see cgroups(7), proc_pid_mountinfo(5)
 */
export function cgroupPlaces(mountinfo: string, own: string): readonly CgroupPlace[] {
  const mounts = cgroupMounts(mountinfo);
  const paths = own.split('\n').flatMap((line) => {
    const [, controllers = '', path = ''] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    return path === '' ? [] : [{ controllers: controllers.split(','), path }];
  });
  const old = mounts.filter(({ type }) => type === 'cgroup');
  if (old.some(({ options }) => options.includes('memory')))
    return old.flatMap(({ root, point, options }): readonly CgroupPlace[] => {
      const controllers = CGROUP_CONTROLLERS.filter((one) => options.includes(one));
      const path = paths.find((one) => controllers.some((name) => one.controllers.includes(name)))?.path ?? '/';
      const isFirst = old.findIndex((one) => controllers.some((name) => one.options.includes(name)));
      if (controllers.length === 0 || old[isFirst]?.point !== point) return []; // mounted twice
      return [{ version: 1, directory: `${point}${shownPath(root, path)}`, controllers }];
    });
  const unified = mounts.find(({ type }) => type === 'cgroup2');
  return unified ? [{ version: 2, directory: unified.point, controllers: CGROUP_CONTROLLERS }] : [];
}

/**
 * Where cgroups may lie, wherever their maker was. A hierarchy that is mounted
 * several times, as by a container or a chroot, is looked at once: where most of it is shown, else where it was first.
 */
export function cgroupRoots(mountinfo: string): readonly string[] {
  const found = cgroupMounts(mountinfo).filter(
    ({ type, options }) => type === 'cgroup2' || CGROUP_CONTROLLERS.some((one) => options.includes(one)),
  );
  const byDevice = new Map<string, CgroupMount>();
  for (const mount of found) {
    const before = byDevice.get(mount.device);
    if (!before || mount.root.length < before.root.length) byDevice.set(mount.device, mount);
  }
  return [...new Set([...byDevice.values()].map(({ point }) => point))];
}

/** Every hierarchy that is mounted, in order. */
export const cgroupMounts = (mountinfo: string): readonly CgroupMount[] => mountinfo.split('\n').flatMap(mountOf);

interface CgroupMount {
  readonly type: 'cgroup' | 'cgroup2';
  /** Of the hierarchy: the same for each of its mounts. */
  readonly device: string;
  /** Which part of the hierarchy is shown. */
  readonly root: string;
  readonly point: string;
  readonly options: readonly string[];
}

function mountOf(line: string): readonly CgroupMount[] {
  const [before = '', after = ''] = line.split(' - ');
  const [, , device = '', root = '/', point = ''] = before.split(' ');
  const [type, , options = ''] = after.split(' ');
  if (type !== 'cgroup' && type !== 'cgroup2') return [];
  return [{ type, device, root, point, options: options.split(',') }];
}

/** A path of the hierarchy as this mount shows it; the mount itself where it does not. */
export function shownPath(root: string, path: string): string {
  const shown = root === '/' ? path : path === root ? '' : path.startsWith(`${root}/`) ? path.slice(root.length) : '';
  return shown === '/' || shown.startsWith('/../') || shown === '/..' ? '' : shown;
}

import { CGROUP_CONTROLLERS, cgroupPlaces } from '../../domain/cgroup-places.ts';
import type { Check, CheckHost, Result } from '../check.ts';
import { textOf } from '../look.ts';

const warn = (found: string, fix: string): readonly Result[] => [
  { name: 'cgroups', status: 'warn', found: `${found}: VMMs run without limits of their own`, fix },
];
const BOOT = 'Boot with cgroup v2: systemd.unified_cgroup_hierarchy=1 on the kernel command line';

/** Limits for VMMs, where the host has them. @see cgroups(7) */
export const cgroups: Check = {
  name: 'cgroups',
  async examine(host) {
    const [first, ...more] = cgroupPlaces((await textOf(host, '/proc/self/mountinfo')) ?? '', '');
    if (!first) return warn('no memory controller is mounted', BOOT);
    const fix =
      'Give the daemon a cgroup file system that it may write to, in a container for instance with --cgroupns=host';
    for (const { directory } of [first, ...more])
      if (await isReadOnly(host, directory)) return warn(`${directory} is mounted read-only`, fix);
    if (first.version === 1) {
      const controllers = [first, ...more].flatMap((place) => place.controllers);
      return [{ name: 'cgroups', status: 'ok', found: `version 1 with ${controllers.join(', ')}`, fix: '' }];
    }
    const words = async (file: string): Promise<string[]> =>
      ((await textOf(host, `${first.directory}/${file}`)) ?? '').split(/\s+/).filter((word) => word !== '');
    const has = await words('cgroup.controllers');
    const missing = CGROUP_CONTROLLERS.filter((one) => !has.includes(one));
    if (missing.length > 0)
      return warn(`version 2 without ${missing.join(' and ')}`, 'Enable these controllers for this part of the tree');
    const enabled = await words('cgroup.subtree_control');
    const isRoot = (await host.files.stat(`${first.directory}/cgroup.type`)) === undefined;
    const isHeldUp = !isRoot && (await words('cgroup.procs')).length > 0;
    if (isHeldUp && CGROUP_CONTROLLERS.some((one) => !enabled.includes(one)))
      return warn(`version 2, but processes are in the topmost cgroup that is seen, ${first.directory}`, fix);
    return [{ name: 'cgroups', status: 'ok', found: `version 2 with ${has.join(', ')}`, fix: '' }];
  },
};

/** The last mount there counts. */
async function isReadOnly(host: CheckHost, directory: string): Promise<boolean> {
  const lines = ((await textOf(host, '/proc/self/mountinfo')) ?? '').split('\n').map((line) => line.split(' '));
  const mount = lines.findLast((fields) => fields[4] === directory);
  return mount?.[5]?.split(',').includes('ro') ?? false;
}

import type { Check } from '../check.ts';
import { textOf } from '../look.ts';

const WANTED = ['cpu', 'memory'];

/** Limits for VMMs, where the host has them. @see cgroups(7) */
export const cgroups: Check = {
  name: 'cgroups',
  async examine(host) {
    const unified = await textOf(host, '/sys/fs/cgroup/cgroup.controllers');
    const fix = 'Boot with cgroup v2: systemd.unified_cgroup_hierarchy=1 on the kernel command line';
    if (unified === undefined) {
      const old = (await host.files.list('/sys/fs/cgroup')).length > 0;
      const found = old
        ? 'version 1: VMMs run without limits of their own'
        : 'are not mounted: VMMs run without limits of their own';
      return [{ name: 'cgroups', status: 'warn', found, fix }];
    }
    const controllers = unified.split(' ');
    const missing = WANTED.filter((name) => !controllers.includes(name));
    if (missing.length > 0) {
      const found = `version 2 without ${missing.join(' and ')}: VMMs run without limits of their own`;
      return [{ name: 'cgroups', status: 'warn', found, fix: 'Enable these controllers for this part of the tree' }];
    }
    return [{ name: 'cgroups', status: 'ok', found: `version 2 with ${controllers.join(', ')}`, fix: '' }];
  },
};

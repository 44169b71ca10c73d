import type { Check, Result } from '../../doctor/check.ts';
import { whoAmI } from '../../doctor/look.ts';
import { kvmObstacle } from './kvm.ts';
import { tryCloudHypervisor } from './trial.ts';

const NAME = 'cloud-hypervisor';

/** The monitor and KVM: by the daemon itself, where one runs. It is one of several, so that its want is no failure. */
export const check: Check = {
  name: NAME,
  async examine(host) {
    const row = (status: Result['status'], found: string, fix = ''): readonly Result[] => [
      { name: NAME, status, found, fix },
    ];
    const told = host.daemon?.providers.find(({ name }) => name === 'cloudhypervisor');
    if (told) {
      const { program, version, available, why } = told;
      if (available) return row('ok', `${program} ${version} can be used, as the daemon finds it`);
      return row(
        'warn',
        why,
        `Mend that, or leave it: guests run by another provider. The daemon uses ${program} (--cloudhypervisor-bin)`,
      );
    }
    const binary = host.settings['cloudhypervisor-bin'] ?? NAME;
    const { root } = await whoAmI(host);
    const verdict = await tryCloudHypervisor({
      ...{ binary, path: host.path, run: host.run, files: host.files, signal: host.signal },
      // Only root can become another user to try it.
      kvm: async (limits) => (root ? kvmObstacle(host.run, limits) : undefined),
    });
    if (!verdict.works) return row('warn', verdict.why, 'Mend that, or leave it: guests run by another provider');
    return row(
      'ok',
      `${binary} ${verdict.version} ${root ? 'can be used' : 'is there; only root can try KVM with it'}`,
    );
  },
};

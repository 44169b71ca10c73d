import type { Check, Result } from '../../doctor/check.ts';
import { whoAmI } from '../../doctor/look.ts';
import { kvmObstacle } from './kvm.ts';
import { type TrialOptions, tryCloudHypervisor } from './trial.ts';

const NAME = 'cloud-hypervisor';

/** A monitor that a host may do without: by the daemon itself, where one runs. */
export const check: Check = {
  name: NAME,
  async examine(host) {
    const row = (status: Result['status'], found: string, fix = ''): readonly Result[] => [
      { name: NAME, status, found, fix },
    ];
    const told = host.daemon?.providers.find(({ name }) => name === 'cloudhypervisor');
    const binary = told?.program ?? host.settings['cloudhypervisor-bin'] ?? NAME;
    const { run, files, path, signal } = host;
    const { root } = await whoAmI(host);
    // Only root can become another user to try it.
    const kvm: TrialOptions['kvm'] = (limits) => kvmObstacle(host, root ? 'auto' : 'trust', limits);
    const verdict = await tryCloudHypervisor({ binary, path, run, files, signal, kvm });
    if (!told?.available && !verdict.works && verdict.isMissing && binary === NAME)
      return row('ok', 'Cloud Hypervisor is not installed: microVMs go to the other providers');
    const obstacle = verdict.works ? '' : verdict.why;
    const why = told ? told.why : obstacle;
    if (why !== '')
      return row('warn', why, 'See docs/reference/providers.md, or let microVMs go to the other providers');
    if (verdict.works && verdict.caution !== undefined) return row('warn', verdict.caution, 'Install a later one');
    if (told) return row('ok', `${told.program} ${told.version} can be used, as the daemon finds it`);
    return row('ok', `${binary} ${verdict.version} can be used${root ? '' : '; only root can try /dev/kvm for it'}`);
  },
};

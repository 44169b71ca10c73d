import type { Check, Result } from '../../doctor/check.ts';
import { whoAmI } from '../../doctor/look.ts';
import { tryFirecracker } from './trial.ts';

const NAME = 'firecracker';

/** A monitor that a host may do without: by the daemon itself, where one runs. */
export const check: Check = {
  name: NAME,
  async examine(host) {
    const row = (status: Result['status'], found: string, fix = ''): readonly Result[] => [
      { name: NAME, status, found, fix },
    ];
    const told = host.daemon?.providers.find(({ name }) => name === NAME);
    if (told?.available) return row('ok', `${told.program} ${told.version} can be used, as the daemon finds it`);
    const binary = told?.program ?? host.settings['firecracker-bin'] ?? NAME;
    const { run, files, path, signal } = host;
    const isRoot = (await whoAmI(host)).root;
    // Who is not root cannot try the devices as another.
    const devices = isRoot ? {} : { devices: async () => ({ groups: [] }) };
    const verdict = await tryFirecracker({ binary, path, run, files, signal, kvm: 'auto', ...devices });
    const isAskedFor = binary !== NAME;
    if (!verdict.works && verdict.isMissing && !isAskedFor)
      return row('ok', 'Firecracker is not installed: microVMs go to the other providers');
    if (!verdict.works || told)
      return row(
        'warn',
        told?.why ?? (verdict.works ? '' : verdict.why),
        'See docs/reference/providers.md, or let microVMs go to the other providers',
      );
    const { version } = verdict;
    return row('ok', `${binary} ${version.text} can be used${isRoot ? '' : '; only root can try /dev/kvm for it'}`);
  },
};

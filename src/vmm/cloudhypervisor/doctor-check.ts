import type { Check, CheckHost, Result } from '../../doctor/check.ts';
import { whoAmI } from '../../doctor/look.ts';
import { kvmObstacle } from './kvm.ts';
import { CONFINED_WORD, UNCONFINED } from './landlock.ts';
import { type TrialOptions, tryCloudHypervisor } from './trial.ts';

const NAME = 'cloud-hypervisor';
const LANDLOCK = 'landlock';

const row = (name: string, status: Result['status'], found: string, fix = ''): readonly Result[] => [
  { name, status, found, fix },
];

/** What a host's Cloud Hypervisor is good for. */
type Found =
  | { readonly is: 'none' }
  | { readonly is: 'unusable'; readonly why: string }
  /** `unconfined`: why it does not shut itself out of the host's files; undefined: it does. */
  | {
      readonly is: 'usable';
      readonly text: string;
      readonly caution: string | undefined;
      readonly unconfined: string | undefined;
    };

/** A monitor that a host may do without: by the daemon itself, where one runs. */
export const check: Check = {
  name: NAME,
  async examine(host) {
    const found = await look(host);
    if (found.is === 'none')
      return row(NAME, 'ok', 'Cloud Hypervisor is not installed: microVMs go to the other providers');
    if (found.is === 'unusable')
      return row(NAME, 'warn', found.why, 'See docs/reference/providers.md, or let microVMs go to the other providers');
    const { text, caution, unconfined } = found;
    if (caution !== undefined) return row(NAME, 'warn', caution, 'Install a later one');
    const how = unconfined === undefined ? 'confined by Landlock' : `not confined by Landlock: ${unconfined}`;
    return row(NAME, 'ok', `${text}, ${how}`);
  },
};

/** Whether it is one wall alone that is between who broke out of a guest and the host's files. */
export const productionCheck: Check = {
  name: LANDLOCK,
  async examine(host) {
    const found = await look(host);
    if (found.is !== 'usable')
      return row(LANDLOCK, 'ok', 'Cloud Hypervisor is not used on this host, and none other has it');
    const { unconfined } = found;
    if (unconfined === undefined)
      return row(LANDLOCK, 'ok', 'each Cloud Hypervisor can open the files of its guest and no other');
    const fix = 'A later kernel or version, as it says, or Firecracker in its jail for the guests of strangers';
    return row(LANDLOCK, 'warn', `Landlock confines no Cloud Hypervisor: ${unconfined}; ${UNCONFINED}`, fix);
  },
};

async function look(host: CheckHost): Promise<Found> {
  const told = host.daemon?.providers.find(({ name }) => name === 'cloudhypervisor');
  const binary = told?.program ?? host.settings['cloudhypervisor-bin'] ?? NAME;
  const { run, files, path, signal } = host;
  const { root } = await whoAmI(host);
  // Only root can become another user to try it.
  const kvm: TrialOptions['kvm'] = (limits) => kvmObstacle(host, root ? 'auto' : 'trust', limits);
  const verdict = await tryCloudHypervisor({ binary, path, run, files, signal, kvm, landlock: 'auto' });
  if (!told?.available && !verdict.works && verdict.isMissing && binary === NAME) return { is: 'none' };
  const obstacle = verdict.works ? '' : verdict.why;
  const why = told ? told.why : obstacle;
  if (why !== '') return { is: 'unusable', why };
  const caution = verdict.works ? verdict.caution : undefined;
  const own = verdict.works ? verdict.unconfined : 'it cannot be tried any more';
  if (!told) {
    const text = `${binary} ${verdict.version} can be used${root ? '' : '; only root can try /dev/kvm for it'}`;
    return { is: 'usable', text, caution, unconfined: own };
  }
  const text = `${told.program} ${told.version} can be used, as the daemon finds it`;
  if (told.capabilities?.includes(CONFINED_WORD)) return { is: 'usable', text, caution, unconfined: undefined };
  return { is: 'usable', text, caution, unconfined: own ?? 'the daemon has --cloudhypervisor-landlock off' };
}

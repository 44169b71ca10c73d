import type { Check, CheckHost, Result } from '../../doctor/check.ts';
import { whoAmI } from '../../doctor/look.ts';
import { JAILED_WORD, JAILER, UNJAILED } from './jail.ts';
import { tryFirecracker } from './trial.ts';

const NAME = 'firecracker';
const JAIL = 'jail';

const row = (name: string, status: Result['status'], found: string, fix = ''): readonly Result[] => [
  { name, status, found, fix },
];

/** What a host's Firecracker is good for. */
type Found =
  | { readonly is: 'none' }
  | { readonly is: 'unusable'; readonly why: string }
  /** `jail`: what to do for one; `yes`: it has one; `unseen`: only root can tell. */
  | { readonly is: 'usable'; readonly text: string; readonly jail: 'yes' | 'unseen' | { readonly remedy: string } };

/** A monitor that a host may do without: by the daemon itself, where one runs. */
export const check: Check = {
  name: NAME,
  async examine(host) {
    const found = await look(host);
    if (found.is === 'none') return row(NAME, 'ok', 'Firecracker is not installed: microVMs go to the other providers');
    if (found.is === 'unusable')
      return row(NAME, 'warn', found.why, 'See docs/reference/providers.md, or let microVMs go to the other providers');
    const { text, jail } = found;
    if (jail === 'yes') return row(NAME, 'ok', `${text}, in a jail for each microVM`);
    if (jail === 'unseen')
      return row(NAME, 'ok', `${text}; only root can try /dev/kvm for it, and whether it can be jailed`);
    return row(NAME, 'warn', `${text}, in no jail: ${UNJAILED}`, jail.remedy);
  },
};

/** Whether it is one wall alone that is between who broke out of a guest and the host's files. */
export const productionCheck: Check = {
  name: JAIL,
  async examine(host) {
    const found = await look(host);
    if (found.is !== 'usable') return row(JAIL, 'ok', 'Firecracker is not used on this host, and none other has one');
    const { jail } = found;
    if (jail === 'yes') return row(JAIL, 'ok', 'each Firecracker sees nothing of the host but its own files');
    if (jail === 'unseen')
      return row(
        JAIL,
        'warn',
        'only root can tell whether Firecracker is jailed',
        'sudo flintlock doctor --production',
      );
    return row(JAIL, 'warn', `Firecracker runs in no jail: ${UNJAILED}`, jail.remedy);
  },
};

async function look(host: CheckHost): Promise<Found> {
  const told = host.daemon?.providers.find(({ name }) => name === NAME);
  if (told?.available) {
    const text = `${told.program} ${told.version} can be used, as the daemon finds it`;
    return { is: 'usable', text, jail: told.capabilities?.includes(JAILED_WORD) ? 'yes' : { remedy: REMEDY } };
  }
  const { run, files, path, signal, settings } = host;
  const binary = told?.program ?? settings['firecracker-bin'] ?? NAME;
  const isRoot = (await whoAmI(host)).root;
  // Who is not root cannot try the devices as another.
  const devices = isRoot ? {} : { devices: async () => ({ groups: [] }) };
  const jailer = settings['firecracker-jailer-bin'] ?? JAILER;
  const verdict = await tryFirecracker({
    ...{ binary, path, run, files, signal, kvm: 'auto' },
    ...{ jailer, jail: isRoot ? 'auto' : 'off', ...devices },
  });
  const isAskedFor = binary !== NAME;
  if (!verdict.works && verdict.isMissing && !isAskedFor) return { is: 'none' };
  if (!verdict.works || told) return { is: 'unusable', why: told?.why ?? (verdict.works ? '' : verdict.why) };
  const { version, jailed } = verdict;
  const jail = !isRoot ? 'unseen' : 'jail' in jailed ? 'yes' : { remedy: `${REMEDY}: ${jailed.why}` };
  return { is: 'usable', text: `${binary} ${version.text} can be used`, jail };
}

const REMEDY =
  "Install the jailer of Firecracker's own release beside it, and let --firecracker-jail be auto or on; the log of flintlockd says why one is not used";

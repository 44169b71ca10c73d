import { Fault } from '../../domain/fault.ts';
import type { Run, RunLimits } from '../../ports/host.ts';
import { LANDLOCK_TRIAL } from './perl.ts';

/** Whether Cloud Hypervisor shuts itself out of the host's files. `auto`: where that can be. */
export const LANDLOCK_CHOICES = ['auto', 'on', 'off'] as const;
export type LandlockChoice = (typeof LANDLOCK_CHOICES)[number];

/** Among the capabilities that are told of a Cloud Hypervisor that does. */
export const CONFINED_WORD = 'landlock';

/** What is weaker without: a clause. */
export const UNCONFINED =
  'each Cloud Hypervisor is a user of its own with its own cgroup, and may open the files of the host that every user may';

/** Since then it says so where it cannot, and can have a vsock with it: before it goes on unconfined without a word. */
const CONFINES_SINCE = 48;

/** Since then there is the third version of Landlock, all of which Cloud Hypervisor asks for. */
const LINUX =
  'Linux 6.2 or later with CONFIG_SECURITY_LANDLOCK, and "landlock" in lsm= where its command line has that';

/**
 * Why a Cloud Hypervisor cannot confine itself here, as a clause; undefined: it can.
 * @param major - its version
 * @throws Fault `tool` where it cannot be tried; `timeout`; the signal's reason
 */
export async function landlockObstacle(
  run: Run,
  { choice, major }: { readonly choice: LandlockChoice; readonly major: number },
  limits: Pick<RunLimits, 'signal' | 'timeoutMs'>,
): Promise<string | undefined> {
  if (choice === 'off') return '--cloudhypervisor-landlock is off';
  if (major < CONFINES_SINCE) return `that needs its version ${CONFINES_SINCE} or later`;
  const told = (await run(['perl', '-e', LANDLOCK_TRIAL], limits)).trim();
  const [word = '', ...why] = told.split(' ');
  switch (word) {
    case 'ok':
      return undefined;
    case 'absent':
      return `this kernel has no Landlock (${why.join(' ')}): it takes ${LINUX}`;
    case 'old':
      return `this kernel has version ${why.join(' ')} of Landlock, and Cloud Hypervisor asks for 3: it takes ${LINUX}`;
    case 'useless':
      return `Landlock does nothing here: ${why.join(' ')}. Is the daemon in a container that forbids it?`;
    default:
      throw new Fault('tool', `Cannot try Landlock: perl says ${JSON.stringify(told.slice(0, 80))}`);
  }
}

import type { StateName } from '../support/daemon.ts';

export type Policy = 'ON_FAILURE' | 'ALWAYS' | 'NEVER';

/** What a caller knows of one microVM: all that was acknowledged, and nothing else. */
export interface Known {
  readonly id: string;
  readonly uid: string;
  readonly policy: Policy;
  /** What the last verb asked for; both, while an answer was lost. */
  wanted: ReadonlySet<'running' | 'stopped'>;
  /** A pause was asked for and no resume since: it may have been lost with a run. */
  mayBePaused: boolean;
  /** How often its VMM was killed. */
  kills: number;
  /** Since when it is being deleted, if it is. */
  deleting: boolean;
}

export interface Shown {
  readonly state: StateName | 'GONE';
  readonly reason: string;
  readonly message: string;
  /** Whether a later attempt is planned. */
  readonly willRetry: boolean;
  /** Processes of its VMM. */
  readonly vmms: number;
}

/**
 * What may be seen at any moment, whatever is being done to the host.
 * @returns what is wrong, or undefined
 */
export function wrongAtAnyTime(known: Known, { state, reason, message, vmms }: Omit<Shown, 'willRetry'>) {
  const told = `${known.id} (${known.uid}) is ${state} (${reason}: ${message})`;
  if (vmms > 1) return `${told}: it has ${vmms} VMMs`;
  if (known.deleting)
    return state === 'GONE' || state === 'DELETING' ? undefined : `${told}: its delete was acknowledged and lost`;
  if (state === 'GONE' || state === 'DELETING') return `${told}: nobody deleted it`;
  if (state === 'STOPPED' && !known.wanted.has('stopped')) return `${told}: nobody stopped it`;
  if (state !== 'STOPPED' && state !== 'FAILED' && !known.wanted.has('running')) return `${told}: nobody started it`;
  if (state === 'FAILED' && !(known.policy === 'NEVER' && known.kills > 0))
    return `${told}: policy ${known.policy} and ${known.kills} kills allow no FAILED`;
  if (state === 'PAUSED' && !known.mayBePaused) return `${told}: nobody paused it`;
  return undefined;
}

/**
 * Whether it has come to where it should, now that nothing disturbs it.
 * @returns what is missing yet, or undefined
 */
export function missingWhenCalm(known: Known, shown: Shown): string | undefined {
  const { state, reason, message, willRetry, vmms } = shown;
  const told = `${known.id} (${known.uid}) is ${state} (${reason}: ${message}) with ${vmms} VMMs`;
  const wrong = wrongAtAnyTime(known, shown);
  if (wrong !== undefined) return wrong;
  switch (state) {
    case 'GONE':
      return vmms === 0 ? undefined : `${told}: gone, and its VMM lives`;
    case 'CREATED':
    case 'PAUSED':
      return vmms === 1 ? undefined : `${told}: it does not run`;
    case 'STOPPED':
    case 'FAILED':
      return vmms === 0 ? undefined : `${told}: its VMM lives`;
    case 'PENDING':
      // It waits for its next start, later each time.
      return willRetry && known.kills > 0 && known.policy !== 'NEVER' && vmms === 0 ? undefined : told;
    case 'DELETING':
      return told;
    default:
      return state satisfies never;
  }
}

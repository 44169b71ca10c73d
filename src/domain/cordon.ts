import { Fault } from './fault.ts';
import type { Millis } from './microvm.ts';

/** That a host takes no more microVMs, by an operator's word; what is there goes on. */
export interface Cordon {
  readonly since: Millis;
  /** A sentence for the callers that are turned away; may be empty. */
  readonly reason: string;
}

const MAX_REASON = 500;

/** @throws Fault `invalid` for a reason that is no line of text */
export function cordonFor(reason: string, now: Millis): Cordon {
  const plain = reason.trim();
  if (plain.length > MAX_REASON || /\p{Cc}/u.test(plain))
    throw Fault.invalid([
      { field: 'reason', description: `must be one line of at most ${MAX_REASON} characters, or nothing` },
    ]);
  return { since: now, reason: plain };
}

/** As it is stored; what cannot be read counts as a cordon: a host that was taken out stays out. */
export function readCordon(stored: string | undefined): Cordon | undefined {
  if (stored === undefined || stored === '') return undefined;
  try {
    const { since, reason } = Object(JSON.parse(stored)) as Partial<Record<keyof Cordon, unknown>>;
    if (typeof since === 'number' && typeof reason === 'string') return { since, reason };
  } catch {
    // Told below.
  }
  return { since: 0, reason: 'what is stored of it cannot be read' };
}

/** What a create is told. `full`: schedulers take another host for it. */
export const cordoned = (name: string, { since, reason }: Cordon): Fault =>
  new Fault(
    'full',
    `Cannot create ${name}: this host is cordoned since ${new Date(since).toISOString()}${reason === '' ? '' : ` (${reason})`}: ` +
      'what is on it goes on, and nothing new is taken. Use another host, or: flintlock host uncordon',
    { reason: 'HostCordoned' },
  );

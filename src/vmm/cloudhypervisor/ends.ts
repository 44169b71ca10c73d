import { Fault } from '../../domain/fault.ts';
import type { ProcessExit } from '../../ports/host.ts';
import type { VmmEnd } from '../../ports/vmm.ts';
import { said } from '../supervisor/ends.ts';
import type { RestAnswer } from '../supervisor/rest.ts';

/** It told of its own end, and of none of its guest. */
export const TOLD_TO_END: VmmEnd = {
  reason: 'VmmKilled',
  message: 'Cloud Hypervisor was told to end, by a signal from the host (SIGTERM, SIGINT) or over its control socket',
};

export const VM_DELETED: VmmEnd = {
  reason: 'VmmExited',
  message: 'Its machine was deleted over the control socket of Cloud Hypervisor',
};

/** Failures that another try may not meet: something else holds what it needs, or the host is short of it. */
const PASSING =
  /already locked|Device or resource busy|Resource temporarily unavailable|Cannot allocate memory|Too many open files|No space left/;

/** Signals that a program earns itself: the same start brings the same. */
const OWN_FAULT: ReadonlySet<string> = new Set([
  'SIGABRT',
  'SIGSEGV',
  'SIGBUS',
  'SIGILL',
  'SIGFPE',
  'SIGTRAP',
  'SIGSYS',
]);

/**
 * Why Cloud Hypervisor did not start.
 * @param errors - the end of its standard error, and of the starter's
 * @returns Fault ProviderUnavailable when there is no such program; ProviderRefused, which is transient where it may pass
 */
export function refusalOf(binary: string, exit: ProcessExit, errors: string): Fault {
  const missing = /^flintlock: cannot run .*: (.*)$/m.exec(errors)?.[1];
  if (missing !== undefined)
    return new Fault('refused', unavailable(binary, missing), { reason: 'ProviderUnavailable' });
  const own = /^flintlock: (.*)$/m.exec(errors)?.[1];
  const isPassing = (exit.signal !== null && !OWN_FAULT.has(exit.signal)) || PASSING.test(errors);
  const kind = isPassing ? 'tool' : 'refused';
  const how = exit.signal === null ? `with exit status ${exit.code}` : `by ${exit.signal}`;
  const message =
    own === undefined
      ? `Cloud Hypervisor ended ${how} before the guest ran${said(errors)}`
      : `Cannot start Cloud Hypervisor: ${own}`;
  return new Fault(kind, message, { reason: 'ProviderRefused' });
}

/** What it has against a request, as a fault: passing or not. */
export function refusedBy(request: string, answer: RestAnswer): Fault {
  const words = wordsOf(answer);
  const kind = PASSING.test(words) ? 'tool' : 'refused';
  return new Fault(kind, `Cloud Hypervisor refused ${request}: ${words}`, { reason: 'ProviderRefused' });
}

const MAX_WORDS = 1_000;

/** An error's chain, outermost first. Versions before 49 answer with a text. */
export function wordsOf({ status, text }: RestAnswer): string {
  let words: unknown;
  try {
    words = JSON.parse(text);
  } catch {
    words = undefined;
  }
  const chain = Array.isArray(words) ? words.filter((word) => typeof word === 'string') : [];
  const whole = chain.length > 0 ? chain.join(': ') : text.trim();
  return whole === '' ? `it answers with status ${status}` : whole.slice(0, MAX_WORDS);
}

/** What to say, and to do, when there is none. */
export const unavailable = (binary: string, why: string): string =>
  `Cannot run ${binary}: ${why}. Get it from https://github.com/cloud-hypervisor/cloud-hypervisor/releases, or name another with --cloudhypervisor-bin`;

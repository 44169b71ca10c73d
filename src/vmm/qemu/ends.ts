import { Fault } from '../../domain/fault.ts';
import type { ProcessExit } from '../../ports/host.ts';
import { POWERED_OFF, panicEnd, said } from '../supervisor/ends.ts';
import type { MonitorEvent } from '../supervisor/monitor.ts';

/**
 * What QEMU's SHUTDOWN event says of the end that follows.
 * @param reason - its `reason`
 * @see https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html ShutdownCause
 */
export function endingOf(reason: string): Extract<MonitorEvent, { is: 'ending' }> {
  switch (reason) {
    case 'guest-panic':
      return { is: 'ending', end: panicEnd(undefined) };
    case 'guest-shutdown':
      return { is: 'ending', end: POWERED_OFF };
    case 'guest-reset':
      return { is: 'ending', end: { reason: 'GuestReset', message: 'The guest reset itself and QEMU ended' } };
    case 'host-signal': {
      const message = 'QEMU was told to end by a signal from the host (SIGTERM, SIGINT or SIGHUP)';
      return { is: 'ending', end: { reason: 'VmmKilled', message } };
    }
    case 'host-qmp-quit':
      return { is: 'ending', end: { reason: 'VmmExited', message: 'QEMU was told to quit over its control socket' } };
    default:
      return {
        is: 'ending',
        end: { reason: 'VmmExited', message: `QEMU ended: ${reason.slice(0, 100)}` },
        withErrors: true,
      };
  }
}

/** Failures that another try may not meet: something else holds what QEMU needs, or the host is short of it. */
const PASSING =
  /Failed to get .* lock|Device or resource busy|Resource temporarily unavailable|Cannot allocate memory|Address already in use|Too many open files/;

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
 * Why QEMU did not start.
 * @param errors - the end of its standard error
 * @returns Fault ProviderUnavailable when there is no such program; ProviderRefused, which is transient where it may pass
 */
export function refusalOf(binary: string, exit: ProcessExit, errors: string): Fault {
  // setpriv's own words when it cannot become the program.
  if (exit.code !== null && exit.code > 0 && /^setpriv: failed to execute /m.test(errors))
    return new Fault('refused', unavailable(binary, errors.trim()), { reason: 'ProviderUnavailable' });
  const how = exit.signal === null ? `with exit status ${exit.code}` : `by ${exit.signal}`;
  const isPassing = (exit.signal !== null && !OWN_FAULT.has(exit.signal)) || PASSING.test(errors);
  const kind = isPassing ? 'tool' : 'refused';
  return new Fault(kind, `QEMU ended ${how} before the guest ran${said(errors)}`, { reason: 'ProviderRefused' });
}

/** What to say, and to do, when there is no QEMU. */
export const unavailable = (binary: string, why: string): string =>
  `Cannot run ${binary}: ${why}. Install it with 'apt-get install qemu-system-x86', or name another with --qemu-bin`;

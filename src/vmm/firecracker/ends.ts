import { gaveUpBefore } from '../../domain/emergency.ts';
import { Fault } from '../../domain/fault.ts';
import type { ProcessExit } from '../../ports/host.ts';
import type { VmmEnd } from '../../ports/vmm.ts';
import { gaveUpEnd, POWERED_OFF, panicEnd, panicLine, said } from '../supervisor/ends.ts';
import type { SilentEnd } from '../supervisor/vmm-program.ts';

/**
 * What the statuses mean by which it ends otherwise than in order.
 * @see https://github.com/firecracker-microvm/firecracker/blob/main/src/vmm/src/lib.rs `FcExitCode`
 */
const STATUSES: Readonly<Record<number, string>> = {
  1: 'it could not go on',
  2: 'a fault of its own',
  148: 'it made a system call that its filter forbids',
  149: 'SIGBUS: memory of its guest could not be had, as when huge pages or the disk below a file run out',
  150: 'SIGSEGV: a fault of its own',
  151: 'SIGXFSZ: a file met the limit of its size',
  152: 'its configuration is bad',
  153: 'its arguments are bad',
  154: 'SIGXCPU: it met its limit of CPU time',
  155: 'SIGPIPE',
  156: 'SIGHUP: it was told to end by the host',
  157: 'SIGILL: a fault of its own',
};

const REBOOTED: VmmEnd = {
  reason: 'GuestReset',
  message: 'The guest reset its machine, at which Firecracker ends',
  isReset: true,
};

/**
 * Firecracker ends in order where its guest resets the machine, for whatever reason: the guest's last words tell a panic from a
 * reboot. What they cannot settle counts as a reset.
 *
 * @returns undefined where the exit says all
 */
export function endOf({ exit, console, errors, advice }: SilentEnd): VmmEnd | undefined {
  if (!exit.seen) return lastWords(console, advice);
  if (exit.code === 0) return wordsOfReset(console, advice) ?? REBOOTED;
  const meaning = exit.code === null ? undefined : STATUSES[exit.code];
  if (meaning === undefined) return undefined;
  return { reason: 'VmmExited', message: `Firecracker ended with exit status ${exit.code}: ${meaning}${said(errors)}` };
}

/** @param console - of a run that ended by a reset */
function wordsOfReset(console: string, advice: string): VmmEnd | undefined {
  const panic = panicLine(console);
  if (panic !== undefined) return panicEnd(panic, advice);
  const gaveUp = gaveUpBefore(console);
  return gaveUp === undefined ? undefined : gaveUpEnd(gaveUp);
}

/** How many lines at the end are a kernel's last: it may say on which CPU it stops, and for how long it waits. */
const LAST_LINES = 4;
/**
 * What Linux says last, at a level that `quiet` does not hide.
 * @see kernel/reboot.c: kernel_restart(), kernel_halt(), kernel_power_off(); arch/x86/kernel/reboot.c; kernel/panic.c
 */
const RESTARTS = /reboot: (?:Restarting system|machine restart)|Rebooting in \d+ seconds/;
const STOPS = /reboot: (?:Power down|System halted)/;
const STANDS = /---\[ end Kernel panic/;

const endOfConsole = (console: string): string =>
  console
    .split(/[\r\n]+/)
    .filter((line) => line.trim() !== '')
    .slice(-LAST_LINES)
    .join('\n');

/** Of a process whose end nobody saw: the console may be of several runs, so that only its very end counts. */
function lastWords(console: string, advice: string): VmmEnd | undefined {
  const end = endOfConsole(console);
  if (STOPS.test(end)) return POWERED_OFF;
  if (STANDS.test(end)) return panicEnd(panicLine(console), advice);
  return RESTARTS.test(end) ? (wordsOfReset(console.slice(-RESET_TAIL), advice) ?? REBOOTED) : undefined;
}
/** Enough for a panic with its trace. */
const RESET_TAIL = 8 << 10;

/**
 * How a guest's run is over although Firecracker goes on: it does for ever, without a CPU's work, after its guest's power-off,
 * and after a panic that reboots nothing.
 *
 * @param console - the end of what the guest wrote, some seconds ago
 * @returns undefined where its last words are others
 */
export function stoodStill(console: string, advice: string): VmmEnd | undefined {
  const last = endOfConsole(console).split('\n').at(-1) ?? '';
  if (STOPS.test(last)) return POWERED_OFF;
  return STANDS.test(last) ? panicEnd(panicLine(console), advice) : undefined;
}

/** Failures that another try may not meet: something else holds what Firecracker needs, or the host is short of it. */
const PASSING =
  /Device or resource busy|Resource temporarily unavailable|Cannot allocate memory|Address (?:already )?in use|already used|Too many open files|No space left/;

/** Whether what Firecracker said may be otherwise at another try. */
export const isPassing = (words: string): boolean => PASSING.test(words);

/**
 * Why Firecracker ended before its guest ran.
 * @param errors - the end of its standard error
 * @returns Fault ProviderUnavailable when there is no such program; ProviderRefused, which is transient where it may pass
 */
export function refusalOf(binary: string, exit: ProcessExit, errors: string): Fault {
  // The words of what could not become the program.
  const unable = /^flintlock: before Firecracker, cannot run [^\n]*: ([^:\n]*)$/m.exec(errors)?.[1];
  if (unable !== undefined) return new Fault('refused', unavailable(binary, unable), { reason: 'ProviderUnavailable' });
  const how = exit.signal === null ? `with exit status ${exit.code}` : `by ${exit.signal}`;
  const meaning = exit.code === null ? undefined : STATUSES[exit.code];
  const kind = exit.signal === 'SIGKILL' || exit.signal === 'SIGTERM' || isPassing(errors) ? 'tool' : 'refused';
  const why = meaning === undefined || exit.code === 1 ? '' : ` (${meaning})`;
  return new Fault(kind, `Firecracker ended ${how}${why} before the guest ran${said(errors)}`, {
    reason: 'ProviderRefused',
  });
}

/** What to say, and to do, when there is no Firecracker. */
export const unavailable = (binary: string, why: string): string =>
  `Cannot run ${binary}: ${why}. Put the program of one of its releases there, or name another with --firecracker-bin`;

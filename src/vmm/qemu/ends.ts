import { Fault } from '../../domain/fault.ts';
import type { ProcessExit } from '../../ports/host.ts';
import type { VmmEnd } from '../../ports/vmm.ts';

/** All that was seen of the end of a run. */
export interface EndFacts {
  /** The reason in QEMU's SHUTDOWN event; absent when none was heard. */
  readonly shutdown?: string;
  readonly panicked: boolean;
  /** Whether the machine had ACPI; absent: that is not known. */
  readonly acpi?: boolean;
  /** What the kernel said of its panic, from the console. */
  readonly panic?: string;
  readonly exit: ProcessExit;
  /** The cgroup whose limit was met, or empty for the host, when the kernel killed for want of memory just then. */
  readonly oomIn?: string;
  /** Bytes. */
  readonly oomLimit?: number;
  /** The end of what QEMU wrote to its standard error. */
  readonly errors: string;
}

/** Nothing was seen of the process's end. */
export const NO_EXIT = { panicked: false, exit: { code: null, signal: null, seen: false }, errors: '' } as const;

/** Why a run ended, from what was seen of it: the guest's own deeds count before the process's. */
export function endOf({ shutdown, panicked, panic, acpi, exit, errors, oomIn, oomLimit }: EndFacts): VmmEnd {
  if (panicked || shutdown === 'guest-panic') return panicEnd(panic, acpi);
  switch (shutdown) {
    case 'guest-shutdown':
      return { reason: 'GuestShutdown', message: 'The guest powered itself off' };
    case 'guest-reset':
      return { reason: 'GuestReset', message: 'The guest reset itself and QEMU ended' };
    case 'host-signal':
      return {
        reason: 'VmmKilled',
        message: 'QEMU was told to end by a signal from the host (SIGTERM, SIGINT or SIGHUP)',
      };
    case 'host-qmp-quit':
      return { reason: 'VmmExited', message: 'QEMU was told to quit over its control socket' };
    case undefined:
      return oomIn === undefined ? endOfProcess(exit, errors) : outOfMemory(oomIn, oomLimit);
    default:
      return { reason: 'VmmExited', message: `QEMU ended: ${shutdown.slice(0, 100)}${said(errors)}` };
  }
}

/** @param acpi - whether the machine has ACPI; absent: that is not known */
export const panicEnd = (panic: string | undefined, acpi?: boolean): VmmEnd => ({
  reason: 'GuestPanic',
  message: panic ? `The guest's kernel panicked: ${panic}${rootAdvice(panic, acpi)}` : "The guest's kernel panicked",
});

/** What to try for a kernel that may see nothing of this machine. */
export const bootAdvice = (acpi: boolean): string =>
  acpi
    ? 'A kernel without ACPI sees no device of this machine: try acpi=off in kernel.cmdline, or "qemu.acpi": "off" in provider_options'
    : 'A kernel that takes no devices from its command line (CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES) sees none of a machine without ACPI: try "qemu.acpi": "on" in provider_options';

/**
 * What to try where the kernel found no root.
 * @see init/do_mounts.c, mount_root_generic(): `unknown-block(0,0)` where there is no such device
 */
function rootAdvice(panic: string, acpi: boolean | undefined): string {
  if (!/^VFS: (?:Unable to mount|Cannot open) root/.test(panic)) return '';
  if (!panic.includes('unknown-block(0,0)'))
    return '. It sees a disk, and has no driver built in for the file system on it (volumes are ext4): give it the initrd of its version, or look whether root= in kernel.cmdline names another disk';
  return `. It sees no such disk: a kernel whose virtio drivers are modules needs the initrd of its version${acpi === undefined ? '' : `. ${bootAdvice(acpi)}`}`;
}

/** @param message - what its initrd said, a sentence */
export const gaveUpEnd = (message: string): VmmEnd => ({ reason: 'GuestReset', message });

export const resetLoopEnd = (times: number): VmmEnd => ({
  reason: 'GuestReset',
  message: `The guest reset itself ${times} times within a minute, which is a loop: it was ended`,
});

const outOfMemory = (cgroup: string, limitBytes: number | undefined): VmmEnd => ({
  reason: 'OutOfMemory',
  message:
    cgroup === ''
      ? 'The kernel killed QEMU for want of memory on the host: give the host more, or microVMs less'
      : `The kernel killed QEMU for want of memory: cgroup ${cgroup} has reached its limit${limitBytes === undefined ? '' : ` of ${Math.floor(limitBytes / 2 ** 20)} MiB`}; raise that, or give the microVM less`,
});

function endOfProcess(exit: ProcessExit, errors: string): VmmEnd {
  if (!exit.seen)
    return {
      reason: 'VmmVanished',
      message: `QEMU is gone and nobody saw how it ended: it was not a child of this daemon${said(errors)}`,
    };
  if (exit.signal !== null) {
    const by = exit.signal === 'SIGKILL' ? ', by hand or by the kernel for want of memory' : '';
    return { reason: 'VmmKilled', message: `QEMU was killed by ${exit.signal}${by}${said(errors)}` };
  }
  return { reason: 'VmmExited', message: `QEMU ended with exit status ${exit.code}${said(errors)}` };
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

const said = (errors: string): string => {
  const text = errors.trim();
  return text ? `: ${text}` : '';
};

/**
 * What the kernel says of a panic on the console, after its prefix.
 * @see kernel/panic.c, panic(): printed at KERN_EMERG, so `quiet` does not hide it
 */
export function panicLine(console: string): string | undefined {
  const lines = [...console.matchAll(/^(?:\[ *\d+\.\d+\] )?Kernel panic - not syncing: ([^\r\n]{1,300})/gm)];
  const last = lines.at(-1);
  const words = last?.[1]?.trim();
  return words === undefined ? undefined : `${words}${endOfInit(words, console.slice(0, last?.index))}`;
}

/** Signals that a program earns itself, by number (signal(7)). */
const SIGNALS: Readonly<Record<number, string>> = {
  4: 'SIGILL',
  6: 'SIGABRT',
  7: 'SIGBUS',
  8: 'SIGFPE',
  11: 'SIGSEGV',
};
const MAX_SAID = 200;

/**
 * How the first program ended, where that is what the kernel panicked for, and what was said before: by it, or its loader.
 * @see kernel/exit.c, do_exit(): a status as of wait(2)
 */
function endOfInit(panic: string, before: string): string {
  const code = /^Attempted to kill init! exitcode=0x([0-9a-f]{8})/.exec(panic)?.[1];
  if (code === undefined) return '';
  const status = Number.parseInt(code, 16);
  const signal = status & 0x7f;
  const name = SIGNALS[signal];
  const how =
    signal === 0
      ? `ended with exit status ${(status >> 8) & 0xff}`
      : `was killed by ${name === undefined ? `signal ${signal}` : name}`;
  const said = before
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .findLast((line) => line !== '' && !/^\[ *\d+\.\d+\]/.test(line));
  return `: its first program ${how}${said === undefined ? '' : `, after "${said.slice(0, MAX_SAID)}"`}`;
}

import type { ProcessExit } from '../../ports/host.ts';
import type { VmmEnd } from '../../ports/vmm.ts';

/** All that was seen of the end of a run. */
export interface EndFacts {
  /** The kind of VMM, as users know it: `QEMU`. */
  readonly program: string;
  /** What the VMM itself said of it; absent when nothing was heard. */
  readonly told?: VmmEnd;
  /** Whether what it wrote to its standard error belongs to that. */
  readonly toldWithErrors?: boolean;
  readonly panicked: boolean;
  /** What to try where the guest's kernel finds no device of this machine: a sentence. */
  readonly advice?: string;
  /** What the kernel said of its panic, from the console. */
  readonly panic?: string;
  readonly exit: ProcessExit;
  /** The cgroup whose limit was met, or empty for the host, when the kernel killed for want of memory just then. */
  readonly oomIn?: string;
  /** Bytes. */
  readonly oomLimit?: number;
  /** The end of what the VMM wrote to its standard error. */
  readonly errors: string;
}

/** Nothing was seen of the process's end. */
export const NO_EXIT = { panicked: false, exit: { code: null, signal: null, seen: false }, errors: '' } as const;

export const POWERED_OFF: VmmEnd = { reason: 'GuestShutdown', message: 'The guest powered itself off' };

/** Why a run ended, from what was seen of it: the guest's own deeds count before the process's. */
export function endOf(facts: EndFacts): VmmEnd {
  const { program, told, toldWithErrors = false, panicked, panic, advice, exit, errors, oomIn, oomLimit } = facts;
  if (panicked) return panicEnd(panic, advice);
  if (told) return toldWithErrors ? { ...told, message: `${told.message}${said(errors)}` } : told;
  return oomIn === undefined ? endOfProcess(program, exit, errors) : outOfMemory(program, oomIn, oomLimit);
}

/** @param advice - what to try where it found no device of this machine; absent: that is not known */
export const panicEnd = (panic: string | undefined, advice?: string): VmmEnd => ({
  reason: 'GuestPanic',
  message: panic ? `The guest's kernel panicked: ${panic}${rootAdvice(panic, advice)}` : "The guest's kernel panicked",
});

/**
 * What to try where the kernel found no root.
 * @see init/do_mounts.c, mount_root_generic(): `unknown-block(0,0)` where there is no such device
 */
function rootAdvice(panic: string, advice: string | undefined): string {
  if (!/^VFS: (?:Unable to mount|Cannot open) root/.test(panic)) return '';
  if (!panic.includes('unknown-block(0,0)'))
    return '. It sees a disk, and has no driver built in for the file system on it (volumes are ext4): give it the initrd of its version, or look whether root= in kernel.cmdline names another disk';
  return `. It sees no such disk: a kernel whose virtio drivers are modules needs the initrd of its version${advice === undefined ? '' : `. ${advice}`}`;
}

/** @param message - what its initrd said, a sentence */
export const gaveUpEnd = (message: string): VmmEnd => ({ reason: 'GuestReset', message });

export const resetLoopEnd = (times: number): VmmEnd => ({
  reason: 'GuestReset',
  message: `The guest reset itself ${times} times within a minute, which is a loop: it was ended`,
});

const outOfMemory = (program: string, cgroup: string, limitBytes: number | undefined): VmmEnd => ({
  reason: 'OutOfMemory',
  message:
    cgroup === ''
      ? `The kernel killed ${program} for want of memory on the host: give the host more, or microVMs less`
      : `The kernel killed ${program} for want of memory: cgroup ${cgroup} has reached its limit${limitBytes === undefined ? '' : ` of ${Math.floor(limitBytes / 2 ** 20)} MiB`}; raise that, or give the microVM less`,
});

function endOfProcess(program: string, exit: ProcessExit, errors: string): VmmEnd {
  if (!exit.seen)
    return {
      reason: 'VmmVanished',
      message: `${program} is gone and nobody saw how it ended: it was not a child of this daemon${said(errors)}`,
    };
  if (exit.signal !== null) {
    const by = exit.signal === 'SIGKILL' ? ', by hand or by the kernel for want of memory' : '';
    return { reason: 'VmmKilled', message: `${program} was killed by ${exit.signal}${by}${said(errors)}` };
  }
  return { reason: 'VmmExited', message: `${program} ended with exit status ${exit.code}${said(errors)}` };
}

/** What a program wrote to its standard error, to be put behind a sentence about it. */
export const said = (errors: string): string => {
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
  const words = before
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .findLast((line) => line !== '' && !/^\[ *\d+\.\d+\]/.test(line));
  return `: its first program ${how}${words === undefined ? '' : `, after "${words.slice(0, MAX_SAID)}"`}`;
}

/**
 * Sees from outside when VMMs begin to run: a program of its own that is asked
 * to look (`{ count }`), looks without pause at the kernel's last process
 * number, and tells for each new process that names a microVM when its own
 * program, and no longer what starts it, was there. Takes one CPU meanwhile,
 * and nothing when nobody asks.
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

/** Not for ever, where none comes. */
const LOOK_MS = 60_000;
/** A process has its number before it can be looked at. */
const COMING_MS = 100;
/** What a VMM is started by, before it becomes itself. */
const STARTERS = /^(?:.*\/)?(?:setpriv|nsenter|sh|env)$/;
const PERL = /^(?:.*\/)?perl$/;
const NAME = /^guest=([^,]+)/;
/** A microVM's uid, where there is no such name. @see https://github.com/ulid/spec */
const UID = /(?<![0-9A-Z])[0-9A-HJKMNP-TV-Z]{26}(?![0-9A-Z])/;

export interface Wanted {
  readonly count: number;
}
export interface Execed {
  readonly name: string;
  /** Milliseconds of the monotonic clock, which all processes share. */
  readonly at: number;
}

const directories = process.argv.slice(2);

const clock = (): number => Number(process.hrtime.bigint()) / 1e6;

process.on('message', ({ count }: Wanted) => process.send?.(watch(count)));
process.on('disconnect', () => process.exit());
process.send?.('ready');

function watch(count: number): readonly Execed[] {
  const found = new Map<string, number>();
  /** When each was heard of. */
  const started = new Map<number, number>();
  const loads = openSync('/proc/loadavg', 'r');
  const buffer = Buffer.alloc(128);
  const last = (): number => {
    const length = readSync(loads, buffer, 0, buffer.length, 0);
    return Number(buffer.subarray(0, length).toString().trim().split(' ').at(-1));
  };
  // Before it is told: who hears it starts something at once.
  let seen = last();
  process.send?.('looking');
  const end = clock() + LOOK_MS;
  try {
    while (found.size < count && clock() < end) {
      const now = last();
      for (let pid = seen + 1; pid <= now; pid++) started.set(pid, clock());
      seen = now;
      for (const [pid, since] of started) {
        const argv = argvOf(pid);
        const at = clock();
        if (argv === undefined) {
          if (at - since > COMING_MS) started.delete(pid);
        } else if (!isStarter(argv)) {
          // Any other is looked at again: it may be a copy of its parent that has not become itself yet.
          const name = nameOf(argv);
          if (name === undefined || !argv.some((word) => directories.some((one) => word.includes(one)))) continue;
          if (!found.has(name)) found.set(name, at);
          started.delete(pid);
        }
      }
    }
  } finally {
    closeSync(loads);
  }
  return [...found].map(([name, at]) => ({ name, at }));
}

/** @returns undefined where it is not there: it has ended, or is not there yet */
function argvOf(pid: number): readonly string[] | undefined {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').slice(0, -1);
  } catch {
    return undefined;
  }
}

const isStarter = ([program = '', first]: readonly string[]): boolean =>
  STARTERS.test(program) || (PERL.test(program) && first === '-e');

/** Of the argument behind `-name`; else whose uid is in it. */
function nameOf(argv: readonly string[]): string | undefined {
  const at = argv.indexOf('-name');
  if (at >= 0) return NAME.exec(argv[at + 1] ?? '')?.[1];
  return argv.flatMap((word) => UID.exec(word) ?? [])[0];
}

import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

export const HELP = `Usage: npm run lab -- [options] COMMAND [ARGUMENT …]

Runs a command on a nested host: a QEMU without KVM, whose CPU has AMD's SVM, so
that there is a /dev/kvm in it that works, with /dev/vhost-vsock and
/dev/net/tun. The host has this machine's own files, read-only, and a layer of
its memory above them: what is written is gone at its end. It has no network but
its own. The command runs as root there, in the checkout and with this
environment; its output and its exit status are this command's.

  --memory MB     of the nested host, what is written included [4096]
  --cpus N        of it [1]; with 2 and more it may panic, once in a hundred guests
  --timeout S     seconds until all of it is ended [3600], times FLINTLOCK_PATIENCE
  --kernel DEB    a package linux-image-… of another Debian, whose kernel it is to have
  --out DIR       of this machine, made if it is not there: what the command writes there stays
  --console       show what the host's kernel says, on standard error
  --help          print this

Everything there is 10 to 20 times slower than here: node starts in 2 seconds,
and FLINTLOCK_PATIENCE is four times what it is here.
When the host itself panics, it is started once more from the beginning.

The exit status is the command's; 124 after the time limit, 125 when the nested
host failed, 130 when it was interrupted, 2 for a wrong option.

Examples:
  npm run lab -- ls -l /dev/kvm
  npm run lab -- npm run e2e:kvm
  npm run lab -- --kernel linux-image-6.12.….deb npm run e2e:kvm
  npm run lab -- --out /tmp/seen --timeout 600 sh -c 'dmesg >/tmp/seen/dmesg'
`;

export interface LabOptions {
  readonly command: readonly string[];
  readonly memoryMb: number;
  readonly cpus: number;
  readonly timeoutMs: number;
  /** Absolute. */
  readonly out: string | undefined;
  /** A package's file, absolute; undefined: the kernel of this machine's own Debian. */
  readonly kernel: string | undefined;
  readonly showConsole: boolean;
}

/** A wrong call: the message says what is wrong with it. */
export class Usage extends Error {}

const OPTIONS = {
  memory: { type: 'string', default: '4096' },
  cpus: { type: 'string', default: '1' },
  timeout: { type: 'string', default: '3600' },
  out: { type: 'string' },
  kernel: { type: 'string' },
  console: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/**
 * Reads the options up to the command, whose own are left alone.
 *
 * @param patience - what limits of time are multiplied by
 * @returns undefined when help is asked for
 * @throws Usage
 */
export function parseLab(words: readonly string[], patience = 1): LabOptions | undefined {
  const begin = commandAt(words);
  const own = words.slice(0, begin);
  const { values } = parsed(own.at(-1) === '--' ? own.slice(0, -1) : own);
  if (values.help) return undefined;
  const command = words.slice(begin);
  if (command.length === 0) throw new Usage('it needs a command to run');
  if (values.out === '') throw new Usage('--out takes a directory');
  if (values.kernel === '') throw new Usage('--kernel takes the file of a package');
  return {
    command,
    memoryMb: whole('memory', values.memory, 512, 1 << 20),
    cpus: whole('cpus', values.cpus, 1, 64),
    timeoutMs: whole('timeout', values.timeout, 1, 7 * 86_400) * 1_000 * patience,
    out: values.out === undefined ? undefined : resolve(values.out),
    kernel: values.kernel === undefined ? undefined : resolve(values.kernel),
    showConsole: values.console,
  };
}

/** Where the command begins: behind a `--`, or at the first word that is no option and no option's value. */
function commandAt(words: readonly string[]): number {
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? '';
    if (word === '--') return at + 1;
    if (!word.startsWith('-')) return at;
    const name = word.slice(2);
    if (Object.entries(OPTIONS).some(([known, { type }]) => known === name && type === 'string')) at++;
  }
  return words.length;
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true });
  } catch (error) {
    throw new Usage(error instanceof Error ? error.message : String(error));
  }
}

function whole(option: string, text: string, least: number, most: number): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= least && number <= most) return number;
  throw new Usage(`--${option} takes a whole number from ${least} to ${most}, not "${text}"`);
}

import { InvalidArgumentError, Option } from 'commander';
import { StatisticsResponseSchema } from '../../gen/flintlock/microvm/v1/guest_statistics_pb.ts';
import type { MicroVM } from '../../gen/types/microvm_pb.ts';
import { quick } from '../client.ts';
import type { Configure, Context } from '../context.ts';
import { duration } from '../duration.ts';
import { EXIT, Problem } from '../exit.ts';
import { namespaceOf, namespaceOptions, outputOption, selectorOption } from '../options.ts';
import { jsonOf, type Structured, structuredText } from '../print/structured.ts';
import { printable } from '../print/style.ts';
import { guestsText, guestText, type Row } from '../print/top.ts';
import { find, parseTarget } from '../target.ts';
import { WatchedGuests } from '../watched-guests.ts';

interface Options {
  readonly interval: number;
  readonly processes: number;
  readonly once?: boolean;
  readonly output?: Structured;
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
  readonly selector?: string;
}

/** One call each: the daemon gives one connection 256. */
const MAX_GUESTS = 200;
/** So often it is looked whether there are others, in milliseconds. */
const LIST_MS = 5_000;

export const configure: Configure = (command, act) => {
  command.argument('[vm]', 'the microVM: ID, NAMESPACE/ID or uid; without it a line for each');
  for (const option of namespaceOptions()) command.addOption(option);
  command
    .addOption(selectorOption())
    .addOption(new Option('--interval <time>', 'between two looks').argParser(interval).default(1_000, '1s'))
    .addOption(new Option('--processes <number>', 'so many of one microVM').argParser(processes).default(20))
    .option('--once', 'one table, on a terminal too')
    .addOption(outputOption('json', 'yaml'))
    .addHelpText('after', EXAMPLES)
    .action((name: string | undefined, options: Options) => act((context) => top(context, name, options)));
};

async function top(context: Context, name: string | undefined, options: Options): Promise<number> {
  const { io } = context;
  const vms =
    name === undefined ? () => listed(context, options) : async () => [await find(context, parseTarget(name))];
  const news = new News();
  const guests = new WatchedGuests(context, {
    intervalMs: options.interval,
    processes: name === undefined ? 0 : options.processes,
    changed: () => news.tell(),
  });
  const signal = AbortSignal.any([io.interrupt, io.unread]);
  const onAbort = (): void => news.tell();
  signal.addEventListener('abort', onAbort, { once: true });
  const isLive = io.stdout.isTerminal && !options.once && options.output === undefined;
  try {
    guests.watch(await vms());
    if (isLive)
      return await live(context, { guests, vms, news, isOne: name !== undefined, intervalMs: options.interval });
    while (!guests.isWhole() && !signal.aborted) await news.next();
    if (signal.aborted) throw new Problem(EXIT.failed, 'interrupted');
    return await once(context, guests.rows(), name !== undefined, options.output);
  } finally {
    signal.removeEventListener('abort', onAbort);
    await guests.close();
  }
}

async function once(
  context: Context,
  rows: readonly Row[],
  isOne: boolean,
  output: Structured | undefined,
): Promise<number> {
  const colour = context.colour.stdout;
  if (output) {
    const all = rows.map(recordOf);
    await context.out(await structuredText(isOne ? all[0] : all, output));
  } else if (!isOne) await context.out(rows.length === 0 ? '' : guestsText(rows, colour));
  else for (const row of rows) await context.out(guestText(row, colour));
  if (rows.length === 0 && !output)
    await context.err('There are no microVMs to look at; -A looks at all namespaces.\n');
  const [only] = rows;
  if (isOne && only && !only.sample)
    throw new Problem(EXIT.failed, `${printable(only.name)} tells nothing of itself: ${printable(only.why ?? '')}`);
  return EXIT.done;
}

interface LiveParts {
  readonly guests: WatchedGuests;
  readonly vms: () => Promise<readonly MicroVM[]>;
  readonly news: News;
  readonly isOne: boolean;
  readonly intervalMs: number;
}

/** Draws the screen anew at what is told, until Ctrl-C. */
async function live(context: Context, { guests, vms, news, isOne, intervalMs }: LiveParts): Promise<number> {
  const { io } = context;
  const colour = context.colour.stdout;
  const signal = AbortSignal.any([io.interrupt, io.unread]);
  let listedAt = io.now();
  while (!signal.aborted) {
    const rows = guests.rows();
    const [only] = rows;
    const text = isOne && only?.sample ? guestText(only, colour) : guestsText(rows, colour);
    await context.out(`${HOME}${fitted(text, io.stdout.size())}${CLEAR_BELOW}`);
    // What is told at about the same time is drawn once; guests that tell nothing are asked again.
    const pause = io.sleep(Math.min(intervalMs, LIST_MS), signal).catch(() => undefined);
    await Promise.race([pause, news.next()]);
    await io.sleep(Math.min(100, intervalMs), signal).catch(() => undefined);
    if (io.now() - listedAt >= LIST_MS && !signal.aborted) {
      listedAt = io.now();
      // A daemon that is down for a moment says nothing new.
      const now = await vms().catch(() => undefined);
      if (now) guests.watch(now);
    }
  }
  return EXIT.done;
}

/** ECMA-48: to the beginning of the screen; from here on all is erased; the rest of this line is erased. */
const HOME = '\x1b[H';
const CLEAR_BELOW = '\x1b[J';
const CLEAR_LINE = '\x1b[K';

/** As many lines as there are, none longer than one is. Colours have no width. */
function fitted(text: string, { rows, columns }: { readonly rows: number; readonly columns: number }): string {
  return text
    .split('\n')
    .slice(0, Math.max(1, rows - 1))
    .map((line) => `${cut(line, columns)}${CLEAR_LINE}\n`)
    .join('');
}

function cut(line: string, columns: number): string {
  let width = 0;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours of ours
  return line.replace(/\x1b\[\d*m|./gu, (part) => (part.startsWith('\x1b') || ++width <= columns ? part : ''));
}

async function listed(context: Context, options: Options): Promise<MicroVM[]> {
  const { vms } = await context.clients();
  const { microvm } = await vms.listMicroVMs(
    { namespace: namespaceOf(options), labelSelector: options.selector ?? '' },
    quick(context.io.interrupt),
  );
  if (microvm.length > MAX_GUESTS)
    await context.err(
      `flintlock: The first ${MAX_GUESTS} of ${microvm.length} microVMs are looked at; -n or -l choose others.\n`,
    );
  return microvm.slice(0, MAX_GUESTS);
}

function recordOf({ name, sample, rates, why }: Row): object {
  return {
    name,
    ...(rates && {
      cpuPercent: rates.cpuPercent,
      diskReadPerSecond: rates.disk.bytesIn,
      diskWrittenPerSecond: rates.disk.bytesOut,
      receivedPerSecond: rates.network.bytesIn,
      sentPerSecond: rates.network.bytesOut,
    }),
    ...(sample && { statistics: jsonOf(StatisticsResponseSchema, sample) }),
    ...(why !== undefined && { why }),
  };
}

/** That there is something to look at. */
class News {
  #wake = (): void => undefined;
  #isTold = false;

  tell(): void {
    this.#isTold = true;
    this.#wake();
  }

  async next(): Promise<void> {
    if (!this.#isTold)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    this.#isTold = false;
  }
}

function interval(text: string): number {
  const ms = duration(text);
  if (ms < 200 || ms > 3_600_000) throw new InvalidArgumentError('It must be 200ms to 1h.');
  return ms;
}

function processes(text: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count > 64) throw new InvalidArgumentError('It must be 0 to 64.');
  return count;
}

const EXAMPLES = `
It shows what guests say that they use: CPU of all their CPUs, memory that programs could not get any more, bytes a second
of disks and interfaces. With a microVM, its busiest processes too, each in parts of one CPU. A guest without an agent
says nothing, and one may say what it likes.

On a terminal it goes on until Ctrl-C; else, or with --once or -o, it prints what was used in one interval.

Examples:
  flintlock top
  flintlock top -A --interval 5s
  flintlock top web
  flintlock top web -o json | jq .cpuPercent
`;

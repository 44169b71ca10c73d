import { InvalidArgumentError, Option } from 'commander';
import type { Configure, Context } from '../context.ts';
import { Copy, type Progress } from '../copy/copy.ts';
import type { GuestOptions } from '../copy/guest-tree.ts';
import { type Place, Places, parsePlace, type Source, sourceAt, targetFor } from '../copy/place.ts';
import { fromStream, toStream } from '../copy/streams.ts';
import type { Attributes } from '../copy/tree.ts';
import { EXIT, Problem } from '../exit.ts';
import { liveOn } from '../print/live.ts';
import { nameOf, uidOf } from '../print/microvm.ts';
import { printable } from '../print/style.ts';
import { bytesText, secondsText } from '../print/units.ts';
import { find, parseTarget } from '../target.ts';

interface Options {
  readonly quiet?: boolean;
  readonly owner?: Attributes['owner'];
  readonly trusted?: boolean;
}

export const configure: Configure = (command, act) => {
  command
    .argument('<paths...>', 'what to copy, and where to: VM:PATH in a guest, PATH here, - for standard input or output')
    .usage('[options] <source...> <destination>')
    .option('-q, --quiet', 'show no progress')
    .addOption(new Option('-r, --recursive', 'directories are always copied with all that is in them').hideHelp())
    .addOption(
      new Option('--owner <uid[:gid]>', 'whose the copies are, by number (default: as they were)').argParser(ownerOf),
    )
    .option('--trusted', 'from a guest: devices, set-user-ID bits and capabilities, too')
    .addHelpText('after', EXAMPLES)
    .action((paths: string[], options: Options) => act((context) => copy(context, paths, options)));
};

async function copy(context: Context, paths: readonly string[], options: Options): Promise<number> {
  const { io } = context;
  const places = paths.map(parsePlace);
  const to = places.pop();
  if (!to || places.length === 0)
    throw new Problem(EXIT.usage, 'Say what to copy and where to: flintlock cp SOURCE … DESTINATION');
  if (![...places, to].some(({ is }) => is === 'guest'))
    throw new Problem(EXIT.usage, 'Neither side is a guest: write VM:PATH for a path in one');
  const guests = new Map<string, Promise<GuestOptions>>();
  const guest = (vm: string): Promise<GuestOptions> => {
    const found = guests.get(vm) ?? open(context, vm);
    guests.set(vm, found);
    return found;
  };
  const isRoot = process.geteuid?.() === 0;
  const opened = new Places({ signal: io.interrupt, isRoot }, guest);
  try {
    let exit: number = EXIT.done;
    const several = places.length > 1;
    for (const from of places) {
      const copied = await copyOne(context, opened, { from, to, several }, options).catch(async (error: unknown) => {
        // What is wrong with one of several is not wrong with the others.
        if (!several || !(error instanceof Problem) || io.interrupt.aborted) throw error;
        await context.err(error.text());
        return error.exit;
      });
      exit ||= copied;
    }
    return exit;
  } catch (error) {
    if (io.interrupt.aborted) throw error;
    throw await context.explain(error, 'Cannot copy');
  } finally {
    await opened.close();
  }
}

interface Wanted {
  readonly from: Place;
  readonly to: Place;
  readonly several: boolean;
}

async function copyOne(
  context: Context,
  places: Places,
  { from, to, several }: Wanted,
  options: Options,
): Promise<number> {
  const { io } = context;
  if (from.is === 'stream') return fromStream(context, places, to);
  const source = await sourceAt(places, from);
  if (to.is === 'stream') return toStream(context, source);
  const { tree, into } = await targetFor(places, to, source, several);
  const showing = new Showing(context, source, options.quiet ?? false);
  const work = new Copy(source.tree, tree, {
    signal: io.interrupt,
    isTrusted: from.is === 'here' || (options.trusted ?? false),
    ...(options.owner && { owner: options.owner }),
    report: async (text) => {
      await showing.clear();
      await context.err(`flintlock: ${text}\n`);
    },
    note: async (text) => {
      if (options.quiet) return;
      await showing.clear();
      await context.err(`flintlock: ${text}\n`);
    },
    progress: (so) => showing.show(so),
  });
  try {
    const { failed, files, bytes } = await work.run(source.entry, into);
    await showing.clear();
    if (!options.quiet && failed === 0)
      await context.hint(`${files} ${files === 1 ? 'file' : 'files'}, ${bytesText(bytes)}, in ${showing.time()}`);
    return failed === 0 ? EXIT.done : EXIT.failed;
  } finally {
    await showing.clear();
  }
}

async function open(context: Context, name: string): Promise<GuestOptions> {
  const vm = await find(context, parseTarget(name));
  const guests = await (await context.clients()).guests();
  return { guests, uid: uidOf(vm), vm: printable(nameOf(vm)), signal: context.io.interrupt };
}

/** Oftener nobody can read it. */
const SHOW_MS = 100;
/** What is over sooner needs no progress: on a terminal, and in a log. */
const FIRST_MS = { terminal: 300, log: 10_000 };

class Showing {
  readonly #context: Context;
  readonly #live: ReturnType<typeof liveOn>;
  readonly #isQuiet: boolean;
  readonly #began: number;
  readonly #isTree: boolean;
  #shownAt: number;

  constructor(context: Context, { entry }: Source, isQuiet: boolean) {
    this.#context = context;
    this.#live = liveOn(context);
    this.#isQuiet = isQuiet;
    this.#isTree = entry.type === 'directory';
    this.#began = context.io.now();
    this.#shownAt = this.#began + FIRST_MS[context.io.stderr.isTerminal ? 'terminal' : 'log'] - SHOW_MS;
  }

  async show({ name, files, bytes, total }: Progress): Promise<void> {
    const now = this.#context.io.now();
    if (this.#isQuiet || now - this.#shownAt < SHOW_MS) return;
    this.#shownAt = now;
    const of = total > 0 ? ` of ${bytesText(total)}` : '';
    const many = this.#isTree ? `, ${files} files` : '';
    await this.#live.show('copy', `${bytesText(bytes)}${of}${many}, ${this.time()}: ${name}`);
  }

  time(): string {
    return secondsText(this.#context.io.now() - this.#began);
  }

  clear(): Promise<void> {
    return this.#live.end();
  }
}

/** The most that a file system can store. */
const MAX_ID = 0xffff_fffe;

function ownerOf(text: string): Attributes['owner'] {
  const [, user = '', group = user] = /^(\d+)(?::(\d+))?$/.exec(text) ?? [];
  const [uid, gid] = [Number(user), Number(group)];
  if (user === '' || uid > MAX_ID || gid > MAX_ID)
    throw new InvalidArgumentError('Write numbers: 1000, or 1000:100 for user and group.');
  return { uid, gid };
}

const EXAMPLES = `
Files, and directories with all that is in them, between this machine and a guest, or from guest to guest: by the guest's
agent, as its root. VM is ID, NAMESPACE/ID or a uid; a path here that has a colon in it begins with / or ./.

Into a directory that is there the copy goes under the name of its source; else it gets the name of the destination, whose
directory must be there. A / at the end of a source changes nothing; with /. at its end what is in a directory is copied, and
not itself. Links that are named are gone through, those within a directory are copied as links.

Modes, times, holes, links of both kinds, empty directories, named pipes and any names come along; owners too, by number: here
only when you are root. Extended attributes do not. A directory that is there keeps what it has. Sockets are left out and told. What comes out of a guest is written nowhere
but below the destination, and without set-user-ID bits and devices, unless --trusted says so.

A file has its name once it is whole: what is cut off, or Ctrl-C, leaves nothing behind of the one that was under way. What cannot be
copied is told while the rest goes on, and the exit status is 1; of a source that is not there it is 3.

Examples:
  flintlock cp web:/var/log/app.log .
  flintlock cp ./site web:/srv/
  flintlock cp ./site/. web:/srv/site
  flintlock cp --owner 33:33 index.html style.css web:/var/www/
  flintlock cp team-a/db:/var/backups db-copy:/srv/
  flintlock cp web:/proc/meminfo - | head -1
  date | flintlock cp - web:/etc/built
`;

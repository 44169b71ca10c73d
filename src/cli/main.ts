import { CommanderError } from 'commander';
import type { Clients } from './client.ts';
import { allVerbs, createProgram, GLOBAL_FLAGS } from './command-line.ts';
import type { Act, Context } from './context.ts';
import { EXIT, Problem } from './exit.ts';
import { type Io, processIo } from './io.ts';
import { PlainHeaders } from './plain-headers.ts';
import { mayColour } from './print/style.ts';
import { type Reach, type ReachFlags, reachOf } from './reach.ts';

/**
 * Runs the command line.
 *
 * @param argv - without the program's own name
 * @returns the exit status, see `EXIT`
 */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  const writes: Promise<void>[] = [];
  let clients: Promise<Clients> | undefined;
  let exit: number = EXIT.done;

  // Commander hands over its flags only once it has parsed them.
  let found: Reach | undefined;
  const reach = (): Reach => {
    found ??= reachOf(program.opts<ReachFlags>(), io.env);
    return found;
  };
  const context: Context = {
    io,
    reach,
    reachFlags: () => program.opts<ReachFlags>(),
    colour: { stdout: mayColour(io.stdout, io.env), stderr: mayColour(io.stderr, io.env) },
    async clients() {
      const at = reach();
      const { openClients } = await import('./client.ts');
      clients ??= openClients(at);
      return clients;
    },
    verbs: () => allVerbs(createProgram(act, output), act),
    async explain(error, what) {
      if (error instanceof Problem) return error;
      const { explain } = await import('./errors.ts');
      return explain(error, reach().address, what);
    },
    out: (text) => io.stdout.write(text),
    err: (text) => io.stderr.write(text),
    async hint(text) {
      if (io.stderr.isTerminal) await io.stderr.write(`${text}\n`);
    },
  };
  const act: Act = async (work) => {
    exit = await work(context);
  };
  const output = {
    out: (text: string) => writes.push(io.stdout.write(text)),
    err: (text: string) => writes.push(io.stderr.write(text)),
  };
  const program = createProgram(act, output);
  try {
    await program.parseAsync(asFlag(argv), { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) exit = error.exitCode === 0 ? EXIT.done : EXIT.usage;
    else {
      const problem = io.interrupt.aborted && !(error instanceof Problem) ? INTERRUPTED : await context.explain(error);
      await context.err(problem.text());
      exit = problem.exit;
    }
  } finally {
    await clients?.then(
      (opened) => opened.close(),
      () => undefined, // who asked for them was told
    );
    await Promise.all(writes);
  }
  return exit;
}

const INTERRUPTED = new Problem(EXIT.failed, 'interrupted');

/** `help VERB` is `VERB --help`: a verb is configured only when it is asked for. */
function asFlag(argv: readonly string[]): string[] {
  let at = 0;
  while (GLOBAL_FLAGS.includes(argv[at]?.split('=')[0] ?? '')) at += argv[at]?.includes('=') ? 1 : 2;
  const [first, verb, ...rest] = argv.slice(at);
  // What follows --wait behind a blank is the name of what is to be made.
  if (first === 'create') return argv.map((word) => word.replace(/^--wait=/, '--wait-until='));
  if (first !== 'help') return [...argv];
  return [...argv.slice(0, at), ...(verb === undefined ? ['--help'] : [verb, '--help', ...rest])];
}

/** As the program that was started. */
export async function start(): Promise<void> {
  Reflect.set(globalThis, 'Headers', PlainHeaders);
  process.exitCode = (await main(process.argv.slice(2), processIo())) || process.exitCode || 0;
}

if (import.meta.main) await start();

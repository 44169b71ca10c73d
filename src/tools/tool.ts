import { Fault } from '../domain/fault.ts';
import { oneLine } from '../domain/one-line.ts';
import type { Clock } from '../ports/clock.ts';
import type { Files, Run } from '../ports/host.ts';
import type { ToolNeed } from '../ports/tools.ts';
import { findProgram } from './programs.ts';
import { withScratch } from './scratch.ts';

/** What a tool's trial may use. */
export interface TrialHands {
  readonly run: Run;
  readonly files: Files;
  /** Of the trial's own; gone after it. */
  readonly directory: string;
  /** For each program that it runs. */
  readonly limits: { readonly signal: AbortSignal; readonly timeoutMs: number };
}

/** One program of the host, or several of one package. */
export interface Tool {
  /** The program that is looked for. */
  readonly program: string;
  /** Of a program that is used in two ways, what tells this one from the other. */
  readonly form?: string;
  /** Debian's package. */
  readonly package: string;
  /** Which microVMs cannot be made without it. */
  readonly need: ToolNeed;
  /** Makes it tell its version on standard output; absent where it cannot. */
  readonly version?: readonly string[];
  /**
   * Uses it as the daemon does, with the same flags, and looks at what came of it. It changes nothing outside its
   * directory.
   * @throws Fault with what is wrong
   */
  trial(hands: TrialHands): Promise<void>;
  /** Whether only root can try it. */
  readonly rootOnly?: true;
}

/** What it is called where it is told of. */
export const nameOf = ({ program, form }: Tool): string => (form === undefined ? program : `${program} ${form}`);

/** What came of a trial. */
export type Verdict = Readonly<
  { tool: string } & (
    | { is: 'works'; path: string; tookMs: number }
    /** Still at it when its time was up. */
    | { is: 'late'; path: string; why: string }
    | { is: 'broken'; path: string; why: string }
    | { is: 'missing'; why: string }
    /** The host was in the way: nothing is known. */
    | { is: 'untried'; path: string; why: string; isFull: boolean }
  )
>;

/** Some answer a flag that they do not know with a page of those that they do. */
const MAX_SAID = 400;
/** An idle host takes less than 0.2 s for any of them; one that is a hundred times slower is let live. */
const TRIAL_MS = 60_000;
/** What takes so long is told: it works, and the host is slow. */
export const SLOW_MS = 10_000;

export interface TryOptions {
  readonly run: Run;
  readonly files: Files;
  readonly clock: Pick<Clock, 'elapsed'>;
  /** Where programs are looked for, separated by colons. */
  readonly path: string;
  /** Whose trials they are: see `scratch.ts`. */
  readonly whose: string;
  readonly signal: AbortSignal;
}

/** Tries one tool. @throws the signal's reason */
export async function tryTool(tool: Tool, options: TryOptions): Promise<Verdict> {
  const { run, files, clock, signal } = options;
  const { program } = tool;
  const name = nameOf(tool);
  const found = await findProgram(files, options.path, program);
  if (!found) return { tool: name, is: 'missing', why: `${program} is not installed` };
  const { path } = found;
  const limits = { signal, timeoutMs: TRIAL_MS };
  const started = clock.elapsed();
  try {
    await withScratch(options, limits, (directory) => tool.trial({ run, files, directory, limits }));
    return { tool: name, is: 'works', path, tookMs: clock.elapsed() - started };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof Fault)) throw error;
    const said = oneLine(error.message, MAX_SAID);
    if (error.kind === 'full' || error.kind === 'refused')
      return { tool: name, is: 'untried', path, why: said, isFull: error.kind === 'full' };
    if (error.kind !== 'timeout') return { tool: name, is: 'broken', path, why: said };
    const why = `${path} hangs, or this host is far too slow: ${said}`;
    return { tool: name, is: 'late', path, why };
  }
}

/** What to do about a verdict; empty where it works. */
export function remedyOf(tool: Tool, verdict: Verdict): string {
  switch (verdict.is) {
    case 'works':
      return '';
    case 'untried':
      return verdict.isFull
        ? 'Free some disk'
        : 'Mend that first: mktemp (coreutils) makes it, run by setpriv (util-linux)';
    case 'late':
      return "Look at the host's load (uptime, top); the program is tried again by itself";
    case 'broken':
    case 'missing':
      return `sudo apt-get install ${tool.package} (Debian's name; other distributions have it under a similar one)`;
    default:
      return verdict satisfies never;
  }
}

/** For a trial that finds something else than it should. */
export function expected(what: string, isSo: boolean): void {
  if (!isSo) throw new Fault('tool', what);
}

import { Semaphore } from '../base/semaphore.ts';
import type { Clock } from '../ports/clock.ts';
import type { Files, Run } from '../ports/host.ts';
import type { Log } from '../ports/log.ts';
import type { HostTools, ToolState } from '../ports/tools.ts';
import { findProgram } from './programs.ts';
import { nameOf, remedyOf, SLOW_MS, type Tool, tryTool, type Verdict } from './tool.ts';
import { Tried } from './tried.ts';

export interface ToolboxOptions {
  readonly run: Run;
  readonly files: Files;
  readonly clock: Clock;
  readonly log: Log;
  /** Where programs are looked for, separated by colons. */
  readonly path: string;
  /** The daemon's instance. */
  readonly whose: string;
  /** Aborted when the daemon ends. */
  readonly signal: AbortSignal;
}

/** A tool that does not work is tried again when it is asked for after so long: what it lacks may be another file. */
const DOUBT_MS = 5_000;
/** So long a question waits for a trial. */
const PATIENCE_MS = 5_000;
/** At the daemon's start, beside everything else. */
const AT_ONCE = 2;

/** Tries the tools now, and each again when its file is another; what changes is told in the log once. */
export function createToolbox(tools: readonly Tool[], options: ToolboxOptions): HostTools {
  const { files, clock, log, path, signal } = options;
  const turns = new Semaphore(AT_ONCE);
  const entries = tools.map((tool) => {
    let told = '';
    const tried = new Tried<Verdict>({
      attempt: async () => {
        const verdict = await turns.run(signal, () => tryTool(tool, options));
        const { is, found, remedy } = stateOf(tool, verdict);
        if (found !== '' && found !== told) {
          const tell = is === 'slow' || is === 'untried' || tool.need === 'none' ? log.warn : log.error;
          tell.call(log, WORDS[is], {
            tool: nameOf(tool),
            found,
            remedy,
          });
        }
        if (told !== '' && found === '') log.info('a tool works now', { tool: nameOf(tool) });
        told = found;
        return verdict;
      },
      stamp: async () => (await findProgram(files, path, tool.program))?.stamp ?? '',
      isGood: ({ is }) => is === 'works',
      doubtMs: DOUBT_MS,
      clock,
    });
    return { tool, tried };
  });

  /** The verdict of each tool as far as it is known after a moment. */
  const known = async (chosen: typeof entries): Promise<readonly (readonly [Tool, Verdict | undefined])[]> => {
    const enough = new AbortController();
    const late = clock.sleep(PATIENCE_MS, AbortSignal.any([enough.signal, signal])).catch(() => undefined);
    try {
      return await Promise.all(
        chosen.map(async ({ tool, tried }) => {
          const verdict = tried.verdict().catch(() => undefined); // the daemon ends
          return [tool, await Promise.race([verdict, late.then(() => tried.last)])] as const;
        }),
      );
    } finally {
      enough.abort();
    }
  };
  void known(entries);

  return {
    states: async () =>
      (await known(entries)).flatMap(([tool, verdict]) => (verdict === undefined ? [] : [stateOf(tool, verdict)])),

    async obstacle(needs) {
      const wanted = entries.filter(({ tool }) => tool.need === 'each' || needs.has(tool.need));
      const wrong = (await known(wanted)).flatMap(([tool, verdict]) =>
        verdict === undefined || verdict.is === 'works' || verdict.is === 'untried'
          ? []
          : [`${verdict.why}. ${remedyOf(tool, verdict)}`],
      );
      return wrong.length === 0 ? undefined : wrong.join('; ');
    },
  };
}

/** For the log. */
const WORDS: Readonly<Record<ToolState['is'], string>> = {
  works: 'a tool works',
  slow: 'a tool is slow',
  untried: 'a tool could not be tried',
  late: 'a tool does not work',
  broken: 'a tool does not work',
  missing: 'a tool does not work',
};

/** A verdict in words. */
export function stateOf(tool: Tool, verdict: Verdict): ToolState {
  const remedy = remedyOf(tool, verdict);
  const name = nameOf(tool);
  if (verdict.is === 'missing') return { name, path: '', is: 'missing', found: 'is not installed', remedy };
  const { path } = verdict;
  switch (verdict.is) {
    case 'works': {
      if (verdict.tookMs < SLOW_MS) return { name, path, is: 'works', found: '', remedy };
      const found = `${path} works, but took ${Math.round(verdict.tookMs / 1000)} s for what takes a tenth of one: this host is slow`;
      return { name, path, is: 'slow', found, remedy: "Look at the host's load, or give it more" };
    }
    case 'late':
      return { name, path, is: 'late', found: verdict.why, remedy };
    case 'untried':
      return { name, path, is: 'untried', found: `${path} could not be tried: ${verdict.why}`, remedy };
    case 'broken':
      return { name, path, is: 'broken', found: `${path} does not do what is needed: ${verdict.why}`, remedy };
    default:
      return verdict satisfies never;
  }
}

import type { KernelPart, PartVerdict } from '../network/kernel-trial.ts';
import { tryKernelPart } from '../network/kernel-trial.ts';
import type { Clock } from '../ports/clock.ts';
import type { Files, Run } from '../ports/host.ts';
import type { Log } from '../ports/log.ts';
import type { ToolState } from '../ports/tools.ts';
import { Tried } from '../tools/tried.ts';

export interface KernelOptions {
  readonly run: Run;
  readonly files: Pick<Files, 'read' | 'list'>;
  readonly clock: Pick<Clock, 'elapsed' | 'sleep'>;
  readonly log: Log;
  /** Aborted when the daemon ends. */
  readonly signal: AbortSignal;
}

/** What the kernel cannot is tried again when somebody asks after so long: a module may have been loaded. */
const DOUBT_MS = 5_000;

/**
 * Tries now what of the kernel's the daemon's networks are made of, and tells what is lacking in the log, once. A microVM
 * that needs it waits with that reason; nothing is refused for it.
 *
 * @returns how they do, as far as it is known: it waits for no trial
 */
export function tryKernel(parts: readonly KernelPart[], options: KernelOptions): () => readonly ToolState[] {
  const { clock, log, signal } = options;
  const entries = parts.map((part) => {
    let told = '';
    const tried = new Tried<PartVerdict>({
      attempt: async () => {
        const verdict = await tryKernelPart(part, options);
        const lacks = verdict.is === 'lacks' ? verdict : undefined;
        if (lacks && told === '')
          log.error('the kernel does not do what is needed', {
            part: part.name,
            found: lacks.found,
            remedy: lacks.remedy,
          });
        if (!lacks && told !== '') log.info('the kernel does what is needed now', { part: part.name });
        if (verdict.is === 'untried')
          log.debug('of the kernel nothing is known', { part: part.name, found: verdict.found });
        told = lacks?.found ?? '';
        return verdict;
      },
      stamp: async () => '',
      isGood: ({ is }) => is === 'works',
      doubtMs: DOUBT_MS,
      clock,
    });
    return { part, tried };
  });
  const look = (): void => {
    // What is thrown is the end of the daemon.
    if (!signal.aborted) for (const { tried } of entries) tried.verdict().catch(() => undefined);
  };
  look();
  return () => {
    look();
    return entries.flatMap(({ part: { name }, tried: { last } }) =>
      last === undefined || last.is === 'untried'
        ? []
        : [
            {
              name,
              path: '',
              ...(last.is === 'works' ? WORKS : { is: 'broken' as const, found: last.found, remedy: last.remedy }),
            },
          ],
    );
  };
}

const WORKS = { is: 'works', found: '', remedy: '' } as const;

import { orAborted } from '../../base/or-aborted.ts';
import { Fault } from '../../domain/fault.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Files } from '../../ports/host.ts';
import { findProgram } from '../../tools/programs.ts';
import { Tried } from '../../tools/tried.ts';

/** What came of trying a VMM's program on this host. */
export type ProgramVerdict =
  | { readonly works: true }
  | {
      readonly works: false;
      /** A sentence, with the remedy. */
      readonly why: string;
      /** Nothing is known of it: the host had no room to try it. */
      readonly untried?: Fault;
    };

type Working<V extends ProgramVerdict> = Extract<V, { readonly works: true }>;

export interface TriedProgramOptions<V extends ProgramVerdict> {
  /** Tries it. Never rejects but with a bug: what goes wrong is a verdict. */
  readonly attempt: () => Promise<V>;
  /** By name or path: where one of them is another file it is tried anew. */
  readonly programs: readonly string[];
  /**
   * Called for each verdict.
   * @param isNews - it works where it did not before, or fails where it worked or for another reason; before the first one it
   * counts as working
   */
  readonly tell: (verdict: V, isNews: boolean) => void;
  /** Directories in which a program that is only named is looked for, separated by colons. */
  readonly path: string;
  readonly files: Pick<Files, 'firstFile'>;
  readonly clock: Pick<Clock, 'elapsed' | 'sleep'>;
  readonly patience?: number | undefined;
}

/** One that does not work is tried again when it is asked for after so long: what it lacks may be another file. */
const DOUBT_MS = 5_000;

/** A VMM's program, which is tried when this is made, when its file is another, and after a start that failed. */
export class TriedProgram<V extends ProgramVerdict> {
  readonly #tried: Tried<V>;
  #told = '';

  constructor({ attempt, programs, tell, path, files, clock, patience }: TriedProgramOptions<V>) {
    this.#tried = new Tried<V>({
      attempt: async () => {
        const verdict = await attempt();
        const why = verdict.works ? '' : verdict.why;
        const isNews = why !== this.#told;
        this.#told = why;
        tell(verdict, isNews);
        return verdict;
      },
      stamp: async () => {
        const found = await Promise.all(programs.map((name) => findProgram(files, path, name)));
        return found.map((program) => program?.stamp ?? '').join(' ');
      },
      isGood: ({ works }) => works,
      ...{ doubtMs: DOUBT_MS, clock, patience },
    });
    void this.#tried.verdict().catch(() => undefined); // whoever asks next is told
  }

  /** What came of it last, whether that still holds or not; undefined: it is being tried for the first time. */
  get last(): V | undefined {
    return this.#tried.last;
  }

  /** The same, where it works. */
  get lastWorking(): Working<V> | undefined {
    const { last } = this;
    return last && isWorking(last) ? last : undefined;
  }

  /** As `Tried.soon`. */
  soon(): Promise<V | undefined> {
    return this.#tried.soon();
  }

  /**
   * Resolves when its first trial is over.
   * @throws the signal's reason
   */
  async first(signal: AbortSignal): Promise<void> {
    if (!this.last) await orAborted(this.#tried.verdict(), signal);
  }

  /**
   * What holds now, where it works.
   * @throws Fault ProviderUnavailable, or what kept it from being tried; the signal's reason
   */
  working(signal: AbortSignal): Promise<Working<V>> {
    return orAborted(requireWorking(this.#tried.verdict()), signal);
  }

  /**
   * Starts a VMM of it. After a failure it is tried anew, as it may not be this microVM: then that is told which keeps all
   * of them from starting.
   * @throws as `working`; what `begin` throws
   */
  async start<T>(signal: AbortSignal, begin: (verdict: Working<V>) => Promise<T>): Promise<T> {
    const verdict = await this.working(signal);
    try {
      return await begin(verdict);
    } catch (error) {
      if (!signal.aborted && error instanceof Fault) await orAborted(requireWorking(this.#tried.again()), signal);
      throw error;
    }
  }
}

async function requireWorking<V extends ProgramVerdict>(verdict: Promise<V>): Promise<Working<V>> {
  const found = await verdict;
  if (isWorking(found)) return found;
  const { why, untried } = found as Exclude<V, { readonly works: true }>;
  throw untried ?? new Fault('refused', why, { reason: 'ProviderUnavailable' });
}

const isWorking = <V extends ProgramVerdict>(verdict: V): verdict is Working<V> => verdict.works;

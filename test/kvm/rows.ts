import type { SpecInit, TestHost } from '../support/daemon.ts';

/** What a row has to work with: one daemon for all of them, and what makes a spec of the guest that there are images of. */
export interface Stage {
  readonly host: TestHost;
  readonly spec: (id: string) => SpecInit;
  readonly say: (text: string) => void;
}

export interface Row {
  readonly name: string;
  /** What is promised, in a sentence. */
  readonly promises: string;
  /** The variable that names its program, where the distribution has none. */
  readonly needs?: string | undefined;
  /** @throws Error that says what is not so */
  readonly run: (stage: Stage) => Promise<void>;
}

/** @throws Error with the sentence */
export function must(isSo: boolean, sentence: string): asserts isSo {
  if (!isSo) throw new Error(sentence);
}

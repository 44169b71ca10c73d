import type { Command } from 'commander';
import type { Clients } from './client.ts';
import type { Problem } from './exit.ts';
import type { Io } from './io.ts';
import type { Reach, ReachFlags } from './reach.ts';

/** What a verb works with. */
export interface Context {
  readonly io: Io;
  /** Whether standard output, or standard error, may be coloured. */
  readonly colour: { readonly stdout: boolean; readonly stderr: boolean };
  /** Where the daemon is that the user means. @throws Problem */
  reach(): Reach;
  /** The global flags as they were given, for a further command of the same user. */
  reachFlags(): ReachFlags;
  /** Opened at the first call, closed when the verb ends. */
  clients(): Promise<Clients>;
  /** Every verb, with its arguments and options. */
  verbs(): Promise<readonly Command[]>;
  /** Makes of anything thrown what the user is told; `what` was tried. */
  explain(error: unknown, what?: string): Promise<Problem>;
  out(text: string): Promise<void>;
  err(text: string): Promise<void>;
  /** A next step, for a person at a terminal only. */
  hint(text: string): Promise<void>;
}

/** Runs a verb's work and keeps the exit status that it resolves to. */
export type Act = (work: (context: Context) => Promise<number>) => Promise<void>;

/** Declares a verb's arguments and options, and what it does. */
export type Configure = (command: Command, act: Act) => void;

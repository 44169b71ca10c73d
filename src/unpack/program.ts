import type { Job, Outcome } from './job.ts';
import { UNPACKER } from './where.ts';

/**
 * The program that unpacks, as arguments: a process of its own, so that
 * neither its work nor a hostile image can hold up the daemon, and so that it
 * can be ended. It reads a {@link Job} and prints an {@link Outcome}.
 */
export const UNPACK: readonly [string, ...string[]] = [
  process.execPath,
  '--max-old-space-size=1024',
  '--disable-warning=ExperimentalWarning',
  UNPACKER,
];

export const toInput = (job: Job): string => JSON.stringify(job);

/** @throws Error when it is none: the program is ours, and says nothing else */
export function fromOutput(text: string): Outcome {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null || !('is' in value)) throw new Error('the unpacker gave no outcome');
  return value as Outcome;
}

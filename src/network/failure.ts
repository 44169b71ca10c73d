import { Fault } from '../domain/fault.ts';

/** A fault of this room: what was tried and on what comes first, then what was found. */
export const failed = (message: string, cause?: unknown): Fault =>
  new Fault('tool', message, { reason: 'NetworkFailed', ...(cause === undefined ? {} : { cause }) });

/**
 * Gives a tool's fault the reason that a status shows, and says what we were
 * at. What is no Fault, e.g. a signal's reason, passes.
 *
 * @param what - completes `Cannot …: `
 */
export async function guard<T>(what: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    if (!(cause instanceof Fault) || cause.reason !== undefined) throw cause;
    throw new Fault(cause.kind, `Cannot ${what}: ${cause.message}`, {
      cause,
      reason: 'NetworkFailed',
      terminal: cause.terminal,
    });
  }
}

/**
 * Names reach files of rules and batches, where a blank or a line break would
 * begin another command. Ours are made of these characters only.
 *
 * @throws Fault `invalid`
 */
export function plain(what: string, text: string): string {
  if (/^[A-Za-z0-9_][A-Za-z0-9_.:=/-]{0,254}$/.test(text)) return text;
  throw new Fault('invalid', `${what} ${JSON.stringify(text)} has characters that are not allowed in it`, {
    reason: 'NetworkFailed',
  });
}

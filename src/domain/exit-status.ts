/** How the line begins by which `flintlock-init` tells, as the last of a run, how the program ended that it was begun for. */
const ENDED = 'flintlock-guest: ended exit=';
/** What our initrd says when a boot begins: what came before is another run's. */
const BEGUN = 'flintlock-initrd: the root is ';

/**
 * The exit status of the program that a guest was begun for, where its console ends with that.
 * A guest can print anything: it is believed of itself alone.
 *
 * @param console - the end of it
 */
export function exitStatusIn(console: string): number | undefined {
  const at = console.lastIndexOf(ENDED);
  if (at === -1 || console.indexOf(BEGUN, at) !== -1) return undefined;
  const [, digits] = /^(\d{1,3})\r?\n/.exec(console.slice(at + ENDED.length)) ?? [];
  const status = Number(digits);
  return digits !== undefined && status <= 255 ? status : undefined;
}

/** Statuses above this are of a death by signal, as shells have it. */
const SIGNALLED = 128;

/** `with exit status 3`, `by signal 9 (exit status 137)`. */
export const exitText = (status: number): string =>
  status > SIGNALLED && status <= SIGNALLED + 64
    ? `by signal ${status - SIGNALLED} (exit status ${status})`
    : `with exit status ${status}`;

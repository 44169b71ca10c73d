export interface NumberRange {
  readonly first: number;
  readonly last: number;
}

/**
 * Ports of the host's address on the managed network. Below those that Linux
 * gives out by itself (32768, ip(7)) and Kubernetes for its services (30000);
 * as marks they have none of the bits above 0x7fff, by which other programs
 * of a host drop packets.
 */
export const METADATA_PORTS: NumberRange = { first: 20_000, last: 29_999 };

/** What is taken: a set, or what looks it up. */
export type Taken = Pick<ReadonlySet<string>, 'has'>;

/**
 * The next free number of a range, round and round, so that a number rests before it is used again.
 *
 * @param before - the one given last; the range may have been another then
 * @returns undefined when all are taken
 */
export function nextNumber({ first, last }: NumberRange, taken: Taken, before: number | undefined): number | undefined {
  const size = last - first + 1;
  const start = before !== undefined && before >= first && before <= last ? before + 1 - first : 0;
  for (let i = 0; i < size; i++) {
    const number = first + ((start + i) % size);
    if (!taken.has(String(number))) return number;
  }
  return undefined;
}

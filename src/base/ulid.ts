const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/**
 * Makes ULIDs (26 characters: 48 bits of milliseconds, 80 of chance) that sort
 * in the order in which they were made, also within a millisecond and when the
 * clock goes back.
 *
 * @param now - milliseconds since 1970
 * @param random - at least 0, below 1
 * @see https://github.com/ulid/spec
 */
export function createUlids(now: () => number, random: () => number): () => string {
  let lastTime = -1;
  let lastChance: number[] = [];
  return () => {
    const time = Math.max(now(), lastTime);
    lastChance =
      time === lastTime ? increment(lastChance) : Array.from({ length: 16 }, () => Math.floor(random() * 32));
    lastTime = time;
    const stamp = Array.from({ length: 10 }, (_, i) => Math.floor(time / 32 ** (9 - i)) % 32);
    return [...stamp, ...lastChance].map((n) => ALPHABET[n]).join('');
  };
}

function increment(digits: readonly number[]): number[] {
  const next = [...digits];
  for (let i = next.length - 1; i >= 0; i--) {
    const digit = (next[i] ?? 0) + 1;
    next[i] = digit % 32;
    if (digit < 32) break;
  }
  return next;
}

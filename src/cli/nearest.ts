/**
 * The candidate that a user may have meant.
 * @returns undefined where none is near
 */
export function nearest(wrong: string, candidates: readonly string[]): string | undefined {
  const plain = normal(wrong);
  let best: { name: string; far: number } | undefined;
  for (const name of candidates) {
    const one = normal(name);
    // A part of the name is as good as one slip: "memory" for memory_in_mb.
    const part = Math.min(plain.length, one.length) >= 3 && (one.includes(plain) || plain.includes(one));
    const far = part ? Math.min(1, distance(plain, one)) : distance(plain, one);
    if (!best || far < best.far) best = { name, far };
  }
  return best && best.far <= Math.max(1, Math.floor(plain.length / 3)) ? best.name : undefined;
}

const normal = (name: string): string => name.toLowerCase().replaceAll(/[_\-. ]/g, '');

/** Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment). */
function distance(a: string, b: string): number {
  let older: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let least = Math.min((row[j - 1] ?? 0) + 1, (previous[j] ?? 0) + 1, (previous[j - 1] ?? 0) + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, (older[j - 2] ?? 0) + 1);
      row.push(least);
    }
    [older, previous] = [previous, row];
  }
  return previous[b.length] ?? 0;
}

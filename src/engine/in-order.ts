/** One that failed. */
export interface Failure<T> {
  readonly of: T;
  readonly error: unknown;
}

/**
 * Runs all of them side by side, each once those that it waits for are done; what waits for one that failed is left out.
 * Resolves when nothing of it runs any more.
 *
 * @param all - none comes before one that it waits for
 * @returns what failed, in the order of `all`
 */
export async function inOrder<T>(
  all: readonly T[],
  waitsFor: (one: T, other: T) => boolean,
  run: (one: T) => Promise<void>,
): Promise<readonly Failure<T>[]> {
  const outcomes: Promise<boolean>[] = [];
  const failures: (Failure<T> | undefined)[] = all.map(() => undefined);
  const whenDone = async (one: T, i: number, before: readonly Promise<boolean>[]): Promise<boolean> => {
    if (before.length > 0 && (await Promise.all(before)).includes(false)) return false;
    try {
      await run(one);
      return true;
    } catch (error) {
      failures[i] = { of: one, error };
      return false;
    }
  };
  for (const [i, one] of all.entries()) {
    const before = outcomes.filter((_, j) => waitsFor(one, all[j] as T));
    outcomes.push(whenDone(one, i, before));
  }
  await Promise.all(outcomes);
  return failures.filter((failure) => failure !== undefined);
}

/**
 * As `Promise.all`, but it resolves and rejects when nothing of it runs any more.
 * @throws what failed, of several the first in their order
 */
export async function allDone<T extends readonly unknown[] | []>(
  all: T,
): Promise<{ -readonly [P in keyof T]: Awaited<T[P]> }> {
  await Promise.allSettled(all);
  return Promise.all(all);
}

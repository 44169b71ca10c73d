type After = (ms: number, callback: () => void) => () => void;

const byTimer: After = (ms, callback) => {
  const timer = setTimeout(callback, ms);
  return () => clearTimeout(timer);
};

/**
 * Waits for the end of work, but only so long: the work goes on, and how it ends after that nobody needs to hear. It leaves
 * no timer.
 *
 * @param after - calls back after so many milliseconds, see `ports/clock.ts`. Default: a timer of the process
 * @returns whether it has ended in time
 * @throws what the work throws in time
 */
export async function endsWithin(ms: number, work: Promise<unknown>, after = byTimer): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<false>();
  const cancel = after(ms, () => resolve(false));
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    cancel();
  }
}

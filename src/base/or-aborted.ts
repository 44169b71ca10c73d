/**
 * What comes first: the promise's outcome, or the signal's reason once it aborts. The work behind the promise goes on, for
 * others; how it ends after an abort nobody needs to hear. It leaves no listener at the signal.
 */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  try {
    // Aborted already it is that, whatever the promise is.
    return await Promise.race([aborted, promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

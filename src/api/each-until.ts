/**
 * What comes from `source`, until the signal aborts: then the source is told
 * to end even while nobody asks it for more. A caller that reads slowly and
 * vanishes would else leave it suspended, with what it holds, for ever.
 *
 * @throws the signal's reason
 */
export async function* eachUntil<T>(signal: AbortSignal, source: AsyncIterable<T>): AsyncGenerator<T> {
  signal.throwIfAborted();
  const items = source[Symbol.asyncIterator]();
  let ended: Promise<unknown> | undefined;
  const end = (): Promise<unknown> => {
    ended ??= Promise.resolve(items.return?.());
    return ended;
  };
  // Whatever ending it brings is told to whoever reads: here nobody listens.
  const onAbort = (): void => void end().catch(() => {});
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    for (;;) {
      const next = await items.next();
      if (next.done) break;
      yield next.value;
    }
    signal.throwIfAborted();
  } finally {
    signal.removeEventListener('abort', onAbort);
    await end();
  }
}

import { Code, ConnectError } from '@connectrpc/connect';

/**
 * A request's messages, where they come in time: a caller that begins calls
 * and goes no further would hold the room of others.
 *
 * @param isOpen - it has no end that could be waited for: only the first message must come in time
 * @throws ConnectError DEADLINE_EXCEEDED
 */
export async function* inTime<T>(messages: AsyncIterable<T>, ms: number, isOpen: boolean): AsyncGenerator<T> {
  const items = messages[Symbol.asyncIterator]();
  const { promise: late, reject } = Promise.withResolvers<never>();
  late.catch(() => undefined);
  const message = `The request was not whole after ${ms / 1_000} s`;
  const timer = setTimeout(() => reject(new ConnectError(message, Code.DeadlineExceeded)), ms);
  let isTimed = true;
  try {
    for (;;) {
      const next = await (isTimed ? Promise.race([items.next(), late]) : items.next());
      if (next.done) return;
      if (isOpen && isTimed) {
        isTimed = false;
        clearTimeout(timer);
      }
      yield next.value;
    }
  } finally {
    clearTimeout(timer);
    // It may wait for what never comes.
    items.return?.(undefined).catch(() => undefined);
  }
}

import { Fault } from '../domain/fault.ts';
import type { AgentStream } from './exec.ts';

/** The port on which an agent passes bytes on to the guest's own SSH server. */
export const SSH_PORT = 1025;

/**
 * Passes bytes on both ways until the guest ends its own. The end of `input` ends that way alone.
 *
 * @throws Fault `tool` when the stream breaks off; the signal's reason; what `input` throws
 */
export async function* relay(
  stream: AgentStream,
  input: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined); // it may come when nobody waits any more
  const onAbort = (): void => {
    stream.close();
    failed.reject(signal.reason);
  };
  const pump = async (): Promise<void> => {
    for await (const bytes of input) await stream.write(bytes);
    stream.end();
  };
  try {
    signal.throwIfAborted();
    signal.addEventListener('abort', onAbort, { once: true });
    // That the stream is over the reader below tells better.
    pump().catch((error: unknown) => {
      if (!(error instanceof Fault && error.kind === 'tool')) failed.reject(error);
    });
    const pieces = stream.read()[Symbol.asyncIterator]();
    for (;;) {
      const next = await Promise.race([failed.promise, pieces.next()]);
      if (next.done) return;
      yield next.value;
    }
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    stream.close();
  }
}

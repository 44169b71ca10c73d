import { Exchange } from './exchange.ts';
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
  using exchange = new Exchange(stream, signal);
  const pump = async (): Promise<void> => {
    for await (const bytes of input) await stream.write(bytes);
    stream.end();
  };
  try {
    // That the stream is over the reader below tells better.
    exchange.send(pump);
    const pieces = stream.read()[Symbol.asyncIterator]();
    for (;;) {
      const next = await exchange.or(pieces.next());
      if (next.done) return;
      yield next.value;
    }
  } catch (error) {
    throw exchange.reasonOf(error);
  }
}

import { setTimeout as sleep } from 'node:timers/promises';
import { Code, ConnectError } from '@connectrpc/connect';

const PAUSE_MS = 100;

/**
 * As a careful client: asks again while the daemon is away, the disk is full
 * or the answer was lost.
 *
 * @param what - for the error
 * @returns undefined when the disk stayed full for so long
 * @throws Error with the code and the words of what is no such thing, or lasts longer
 */
export async function patiently<T>(what: string, timeoutMs: number, ask: () => Promise<T>): Promise<T | undefined> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      const { code, rawMessage } = ConnectError.from(error);
      const isLate = Date.now() > end;
      if (code === Code.ResourceExhausted) {
        if (isLate) return undefined;
      } else if (isLate || !isOfConnection(code, rawMessage))
        throw new Error(`${what}: ${Code[code]}: ${rawMessage}`, { cause: error });
      await sleep(PAUSE_MS);
    }
  }
}

/** INTERNAL and UNKNOWN of the daemon are bugs, ABORTED is an answer; of a connection that was cut they are none. */
function isOfConnection(code: Code, message: string): boolean {
  if (code === Code.Unavailable) return true;
  const isCut = /ECONN|hang up|ENOENT|EPIPE|reset|closed|stream|http\/2|http2/i.test(message);
  return isCut && [Code.Aborted, Code.Canceled, Code.Unknown, Code.Internal].includes(code);
}

import { Fault } from '../domain/fault.ts';
import { AGENT_FRAME, AgentDecoder, clockRequest, parseClock, parseError } from './agent-frames.ts';
import type { AgentConnection } from './exec.ts';

/** Of an answer that is a few words. */
const MAX_SAID = 4 << 10;

/**
 * Has an agent set its guest's clock, over a connection of its own. See `GuestAgent.setClock`.
 * @param now - asked when it is sent: on the way it must not age
 */
export async function tellTime(connection: AgentConnection, now: () => number, signal: AbortSignal): Promise<number> {
  const onAbort = (): void => connection.close();
  signal.addEventListener('abort', onAbort, { once: true });
  const decoder = new AgentDecoder();
  let said: Uint8Array = new Uint8Array();
  try {
    signal.throwIfAborted();
    await connection.write(new Uint8Array()); // it is connected first
    await connection.write(clockRequest(now()));
    for await (const bytes of connection.read())
      for (const { type, data } of decoder.push(bytes)) {
        if (type === AGENT_FRAME.error) throw new Fault('refused', `The guest agent refused: ${parseError(data)}`);
        if (type === AGENT_FRAME.stdout && said.length < MAX_SAID) said = Buffer.concat([said, data]);
        if (type === AGENT_FRAME.exit) return parseClock(said);
      }
    throw new Fault('tool', 'The guest agent hung up before it had set the clock');
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    connection.close();
  }
}

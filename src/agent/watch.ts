import type { Channel } from '../ports/channel.ts';
import { AGENT_FRAME, AgentDecoder, watchRequest } from './agent-frames.ts';

/**
 * Waits on a connection of its own for what an agent says when its guest goes down, or when it is ended itself.
 *
 * @returns false when the connection ended without that
 * @throws what the channel does; the signal's reason
 */
export async function saysGoodbye(channel: Channel, signal: AbortSignal): Promise<boolean> {
  const decoder = new AgentDecoder();
  try {
    await channel.write(watchRequest());
    for await (const bytes of channel.read(signal))
      for (const { type } of decoder.push(bytes)) if (type === AGENT_FRAME.goingDown) return true;
    return false;
  } finally {
    channel.close();
  }
}

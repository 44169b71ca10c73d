import { askInfo, CONTROL_PORT } from '../../src/agent/exec.ts';
import type { Dial } from '../../src/ports/channel.ts';
import type { AgentInfo } from '../../src/ports/guest-agent.ts';

/** What an agent says of itself, over a connection of its own. @throws what `dial` throws; Fault `tool` */
export async function infoBy(dial: Dial, signal: AbortSignal): Promise<AgentInfo> {
  const channel = await dial(CONTROL_PORT, signal);
  return askInfo(
    { write: (bytes) => channel.write(bytes), read: () => channel.read(signal), close: () => channel.close() },
    signal,
  );
}

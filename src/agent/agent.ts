import { Fault } from '../domain/fault.ts';
import type { AgentInfo, GuestAgent } from '../ports/guest-agent.ts';
import { askInfo, CONTROL_PORT, execOver } from './exec.ts';
import type { PortSession } from './port-session.ts';

/** The agent that a session has met, asked what it is. @throws as `askInfo` */
export async function meetAgent(session: PortSession, signal: AbortSignal): Promise<GuestAgent> {
  const info = await askInfo(session.open(CONTROL_PORT), signal);
  return {
    info,
    async *exec(start, input, ended) {
      requireFeatures(info, start.terminal !== undefined);
      yield* execOver(session.open(CONTROL_PORT), start, input, ended);
    },
  };
}

function requireFeatures({ version, features }: AgentInfo, wantsTerminal: boolean): void {
  if (wantsTerminal && !features.includes('tty'))
    throw new Fault('refused', `The guest agent, version ${version}, gives no terminal: run the command without one`);
}

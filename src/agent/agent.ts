import { orAborted } from '../base/or-aborted.ts';
import { Fault } from '../domain/fault.ts';
import type { Clock } from '../ports/clock.ts';
import type { AgentInfo, GuestAgent, MeetAgent } from '../ports/guest-agent.ts';
import { connectOver } from './connect.ts';
import { askInfo, CONTROL_PORT, execOver } from './exec.ts';
import { filesOver } from './files.ts';
import { PortSession } from './port-session.ts';
import { relay, SSH_PORT } from './relay.ts';
import { statisticsOver } from './statistics.ts';

/** Meets the agents behind ports with several streams in them. */
export const createMeetAgent =
  (deps: { readonly clock: Pick<Clock, 'after'>; randomBytes(count: number): Uint8Array }): MeetAgent =>
  async (channel, isRunning, signal) => {
    const session = new PortSession(channel, { ...deps, isRunning });
    try {
      const closed = session.over.then((why) => Promise.reject(new Fault('tool', `The guest agent is gone: ${why}`)));
      closed.catch(() => undefined);
      await orAborted(Promise.race([session.ready, closed]), signal);
      const agent = await orAborted(meet(session, signal), signal);
      return { agent, over: session.over, close: () => session.close() };
    } catch (error) {
      session.close();
      throw error;
    }
  };

async function meet(session: PortSession, signal: AbortSignal): Promise<GuestAgent> {
  const info = await askInfo(session.open(CONTROL_PORT), signal);
  return {
    info,
    async *exec(start, input, ended) {
      requireFeatures(info, start.terminal !== undefined);
      yield* execOver(session.open(CONTROL_PORT), start, input, ended);
    },
    files: filesOver(info, () => session.open(CONTROL_PORT)),
    dial: (door) => session.open(door),
    async *connect(target, input, ended) {
      requireFeature(info, 'ports', 'passes on no ports');
      yield* connectOver(session.open(CONTROL_PORT), target, input, ended);
    },
    async *statistics(wanted, ended) {
      requireFeature(info, 'statistics', 'tells no statistics');
      yield* statisticsOver(session.open(CONTROL_PORT), wanted, ended);
    },
    async *ssh(input, ended) {
      yield* relay(session.open(SSH_PORT), input, ended);
    },
  };
}

function requireFeatures({ version, features }: AgentInfo, wantsTerminal: boolean): void {
  if (wantsTerminal && !features.includes('tty'))
    throw new Fault('refused', `The guest agent, version ${version}, gives no terminal: run the command without one`);
}

/** @param lack - of an agent without it, for the user */
function requireFeature({ version, features }: AgentInfo, feature: string, lack: string): void {
  if (!features.includes(feature))
    throw new Fault('refused', `The guest agent, version ${version}, ${lack}: restart the microVM for a newer one`);
}

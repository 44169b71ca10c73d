import { orAborted } from '../base/or-aborted.ts';
import { Fault } from '../domain/fault.ts';
import type { Clock } from '../ports/clock.ts';
import type { AgentInfo, AgentWay, GuestAgent, MeetAgent } from '../ports/guest-agent.ts';
import { tellTime } from './clock.ts';
import { connectOver } from './connect.ts';
import { connectFramed, sshFramed } from './connect-framed.ts';
import { DialledSession } from './dialled-session.ts';
import { type AgentSession, askInfo, CONTROL_PORT, execOver } from './exec.ts';
import { filesOver } from './files.ts';
import { PortSession } from './port-session.ts';
import { relay, SSH_PORT } from './relay.ts';
import { SpareBuffers } from './spare-buffers.ts';
import { statisticsOver } from './statistics.ts';

interface Deps {
  readonly clock: Pick<Clock, 'after' | 'elapsed' | 'now' | 'sleep'>;
  /** So many bytes that nobody can guess. */
  randomBytes(count: number): Uint8Array;
  readonly spare: SpareBuffers;
}

/** Meets agents, by a port with several streams in it or by connections of their own. */
export function createMeetAgent(given: Omit<Deps, 'spare'>): MeetAgent {
  const deps: Deps = { ...given, spare: new SpareBuffers() };
  return async (way, isRunning, signal) => {
    const session = sessionOf(way, isRunning, deps);
    try {
      const closed = session.over.then((why) => {
        throw session.refusal ?? new Fault('tool', `The guest agent is gone: ${why}`);
      });
      closed.catch(() => undefined);
      await orAborted(Promise.race([session.ready, closed]), signal);
      const agent = await orAborted(meet(session, deps, signal), signal);
      const hasHalted = (): boolean => session.hasHalted === true;
      return { agent, over: session.over, hasHalted, close: () => session.close() };
    } catch (error) {
      session.close();
      throw error;
    }
  };
}

function sessionOf(way: AgentWay, isRunning: () => boolean, deps: Deps): AgentSession {
  switch (way.is) {
    case 'channel':
      return new PortSession(way.channel, { ...deps, isRunning });
    case 'connections':
      return new DialledSession(way.dial, { ...deps, isRunning });
    default:
      return way satisfies never;
  }
}

async function meet(session: AgentSession, { clock }: Deps, signal: AbortSignal): Promise<GuestAgent> {
  const info = await askInfo(session.open(CONTROL_PORT), signal);
  const isFramed = !session.hasHalves && info.features.includes('ends');
  const connect = isFramed ? connectFramed : connectOver;
  return {
    info,
    async *exec(start, input, ended) {
      requireFeatures(info, start.terminal !== undefined);
      yield* execOver(session.open(CONTROL_PORT), start, input, ended);
    },
    files: filesOver(info, () => session.open(CONTROL_PORT), clock),
    dial: (door) => session.open(door),
    async *connect(target, input, ended) {
      requireFeature(info, 'ports', 'passes on no ports');
      yield* connect(session.open(CONTROL_PORT), target, input, ended);
    },
    async *statistics(wanted, ended) {
      requireFeature(info, 'statistics', 'tells no statistics');
      yield* statisticsOver(session.open(CONTROL_PORT), wanted, ended);
    },
    async *ssh(input, ended) {
      if (isFramed) yield* sshFramed(session.open(CONTROL_PORT), input, ended);
      else yield* relay(session.open(SSH_PORT), input, ended);
    },
    ...(info.features.includes('clock') && {
      setClock: (ended: AbortSignal) => tellTime(session.open(CONTROL_PORT), () => clock.now(), ended),
    }),
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

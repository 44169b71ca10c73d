import { Fault } from '../domain/fault.ts';
import type { PortOutput, PortTarget } from '../ports/guest-ports.ts';
import { agentFor, cutOff, type ExecNeeds } from './exec.ts';

/**
 * Connects to a server of a guest, by its agent. What the caller sends is read on only as fast as the server takes it, and
 * the other way round.
 *
 * @throws Fault `refused` where nobody listens, or there is no agent to do it; `tool` when it, or the guest, goes away
 */
export async function* forward(
  needs: ExecNeeds,
  uid: string,
  target: PortTarget,
  input: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncIterable<PortOutput> {
  const { vm, agent } = await agentFor(needs, uid, signal);
  const what = targetText(target);
  try {
    yield* agent.connect(target, input, signal);
  } catch (error) {
    if (error instanceof Fault && (error.kind === 'refused' || error.kind === 'timeout'))
      throw new Fault(error.kind, `Cannot connect to ${what} in microVM ${uid}: ${error.message}`, { cause: error });
    throw cutOff(needs, vm, `The connection to ${what} in microVM ${uid} broke off`, error);
  }
}

/** `port 80`, `10.0.0.1:80`, or a socket's path. */
function targetText(target: PortTarget): string {
  if (target.is === 'unix') return target.path;
  const { host, port } = target;
  if (host === '') return `port ${port}`;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

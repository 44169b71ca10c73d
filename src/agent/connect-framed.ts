import { Fault } from '../domain/fault.ts';
import type { PortOutput, PortTarget } from '../ports/guest-ports.ts';
import { AGENT_FRAME, type AgentPiece, agentFrame, parseError } from './agent-frames.ts';
import { connectRequest, OPEN_MS, openedWithin, printable } from './connect.ts';
import { Exchange } from './exchange.ts';
import { type AgentConnection, piecesOf } from './exec.ts';

/**
 * The same as `connectOver`, for the feature `ends`: behind `opened` are frames, by which each side tells its end. For ways that
 * pass on the end of a connection and of no half of it. A server that breaks off is told from one that ends, too.
 */
export async function* connectFramed(
  connection: AgentConnection,
  target: PortTarget,
  input: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  openMs = OPEN_MS,
): AsyncGenerator<PortOutput> {
  using exchange = new Exchange(connection, signal);
  const pump = async (): Promise<void> => {
    for await (const bytes of input) if (bytes.length > 0) await connection.write(agentFrame(AGENT_FRAME.stdin, bytes));
    await connection.write(agentFrame(AGENT_FRAME.stdinEnd));
  };
  try {
    const asked = connection.write(connectRequest(target, { framed: true }));
    asked.catch(() => undefined); // that it is gone the reader tells better
    const pieces = piecesOf(connection)[Symbol.asyncIterator]();
    const answer = await openedWithin(exchange, openMs, pieces.next());
    if (answer.done) throw new Fault('tool', 'The guest agent hung up before there was a connection');
    if (answer.value.type === AGENT_FRAME.error) throw new Fault('refused', wordsIn(answer.value));
    if (answer.value.type !== AGENT_FRAME.opened || answer.value.data.length > 0) throw notOurs(answer.value);
    yield { is: 'opened' };
    const sent = exchange.send(pump);
    for (;;) {
      const next = await exchange.or(pieces.next());
      if (next.done) throw new Fault('tool', 'The guest agent hung up in the middle of a connection');
      const { type, data } = next.value;
      if (type === AGENT_FRAME.stdout) yield { is: 'data', data };
      else if (type === AGENT_FRAME.ended) break;
      else if (type === AGENT_FRAME.error) throw new Fault('tool', wordsIn(next.value));
      else throw notOurs(next.value);
    }
    yield { is: 'end' };
    await exchange.or(sent);
    // The agent hangs up when it has heard our end; to close before could overtake it.
    await exchange.or(pieces.next()).catch(() => undefined);
  } catch (error) {
    throw exchange.reasonOf(error);
  }
}

/** Bytes to and from the guest's own SSH server. See `GuestAgent.ssh`. */
export async function* sshFramed(
  connection: AgentConnection,
  input: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  try {
    for await (const output of connectFramed(connection, { is: 'tcp', host: '127.0.0.1', port: 22 }, input, signal)) {
      if (output.is === 'data') yield output.data;
      else if (output.is === 'end') return;
    }
  } catch (error) {
    throw error instanceof Fault && error.kind === 'refused'
      ? new Fault('tool', error.message, { cause: error })
      : error;
  }
}

const wordsIn = ({ data }: AgentPiece): string => printable(parseError(data));

const notOurs = ({ type, data }: AgentPiece): Fault =>
  new Fault('tool', `The guest agent answered with a frame of type ${type} and ${data.length} bytes`);

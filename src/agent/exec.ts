import { Fault } from '../domain/fault.ts';
import type { AgentInfo, ExecInput, ExecOutput, ExecStart } from '../ports/guest-agent.ts';
import {
  AGENT_FRAME,
  AgentDecoder,
  type AgentPiece,
  execRequest,
  frameHead,
  infoRequest,
  inputFrame,
  isOutput,
  parseError,
  parseExit,
  parseInfo,
} from './agent-frames.ts';
import { Exchange } from './exchange.ts';

/** The port on which an agent takes requests. */
export const CONTROL_PORT = 1024;

/** A connection to an agent, whatever it goes over. */
export interface AgentConnection {
  /** @param more - goes behind it: what is large is not copied for what goes before it */
  write(bytes: Uint8Array, more?: Uint8Array): Promise<void>;
  read(): AsyncIterable<Uint8Array>;
  /**
   * The agent ends what it runs for it.
   * @param isAnswered - it has said its last, and lets go by itself: nothing has to be said
   */
  close(isAnswered?: boolean): void;
}

/** One whose two halves end by themselves. */
export interface AgentStream extends AgentConnection {
  /** No more is sent. */
  end(): void;
}

/** A meeting with an agent, whatever way it goes over. */
export interface AgentSession {
  /** Resolves when an agent has answered; never rejects, and never resolves where none does. */
  readonly ready: Promise<void>;
  /** Resolves when it is over, with why. */
  readonly over: Promise<string>;
  /**
   * A stream to a port of the agent's.
   * @throws Fault `full` where there are too many; `tool` when the session is over
   */
  open(port: number): AgentStream;
  close(why?: string): void;
  /** Whether the two halves of its streams end by themselves, on the whole way. */
  readonly hasHalves: boolean;
  /** Once it is over: see `AgentMeeting`. */
  readonly hasHalted?: boolean;
  /** Where it was over because there is no way to an agent. */
  readonly refusal?: Fault | undefined;
}

/**
 * One exec over a connection of its own, which is closed at its end. See `GuestAgent.exec`.
 */
export async function* execOver(
  connection: AgentConnection,
  start: ExecStart,
  input: AsyncIterable<ExecInput>,
  signal: AbortSignal,
): AsyncGenerator<ExecOutput> {
  using exchange = new Exchange(connection, signal);
  const pump = async (): Promise<void> => {
    for await (const one of input) {
      if (exchange.isOver) return;
      if (one.is === 'stdin') await connection.write(frameHead(AGENT_FRAME.stdin, one.data.length), one.data);
      else await connection.write(inputFrame(one));
    }
    if (start.hasStdin && !exchange.isOver) await connection.write(inputFrame({ is: 'stdin end' }));
  };
  try {
    await connection.write(execRequest(start));
    // That the connection is gone the reader below tells better.
    exchange.send(pump);
    const pieces = piecesOf(connection)[Symbol.asyncIterator]();
    for (;;) {
      const next = await exchange.or(pieces.next());
      if (next.done) throw new Fault('tool', 'The guest agent hung up before the program had ended');
      const { type, data } = next.value;
      if (type === AGENT_FRAME.error || type === AGENT_FRAME.exit) exchange.answered();
      if (type === AGENT_FRAME.stdout) yield { is: 'stdout', data };
      else if (type === AGENT_FRAME.stderr) yield { is: 'stderr', data };
      else if (type === AGENT_FRAME.error) throw new Fault('refused', `The guest agent refused: ${parseError(data)}`);
      else if (type === AGENT_FRAME.exit) {
        yield { is: 'exit', ...parseExit(data) };
        return;
      }
    }
  } catch (error) {
    throw exchange.reasonOf(error);
  }
}

/** @throws Fault `tool` when it does not answer as an agent does; the signal's reason */
export async function askInfo(connection: AgentConnection, signal: AbortSignal): Promise<AgentInfo> {
  const onAbort = (): void => connection.close();
  signal.addEventListener('abort', onAbort, { once: true });
  let said: Uint8Array = new Uint8Array();
  try {
    signal.throwIfAborted();
    await connection.write(infoRequest());
    for await (const { type, data } of piecesOf(connection)) {
      if (type === AGENT_FRAME.stdout && said.length < 64 << 10) said = Buffer.concat([said, data]);
      if (type === AGENT_FRAME.exit) return parseInfo(said);
      if (type === AGENT_FRAME.error) break;
    }
    throw new Fault('tool', 'The guest agent does not tell what it is');
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    connection.close();
  }
}

/**
 * What an agent sends, frame by frame; of what has come together one output behind the other is one piece.
 * @throws Fault `tool` for what no agent does
 */
export async function* piecesOf(connection: AgentConnection): AsyncGenerator<AgentPiece> {
  const decoder = new AgentDecoder();
  for await (const bytes of connection.read()) {
    let held: { readonly type: number; readonly data: Uint8Array[] } | undefined;
    for (const { type, data } of decoder.push(bytes)) {
      if (held && (held.type !== type || !isOutput(type))) {
        yield joined(held);
        held = undefined;
      }
      if (held) held.data.push(data);
      else held = { type, data: [data] };
    }
    if (held) yield joined(held);
  }
}

/** Moved together where they lie: what is between them was read, and nobody else has the bytes. */
function joined({ type, data }: { readonly type: number; readonly data: readonly Uint8Array[] }): AgentPiece {
  const [first = new Uint8Array(), ...others] = data;
  const all = new Uint8Array(first.buffer);
  let end = first.byteOffset + first.length;
  for (const { byteOffset, length } of others) {
    all.copyWithin(end, byteOffset, byteOffset + length);
    end += length;
  }
  return { type, data: new Uint8Array(first.buffer, first.byteOffset, end - first.byteOffset) };
}

import { TimeLimit } from '../base/time-limit.ts';
import { Fault } from '../domain/fault.ts';
import type { PortOutput, PortTarget } from '../ports/guest-ports.ts';
import { AGENT_FRAME, agentFrame, parseError } from './agent-frames.ts';
import { Exchange } from './exchange.ts';
import type { AgentStream } from './exec.ts';

/** The agent gives up after 10 s; a guest that is paused says nothing at all. */
export const OPEN_MS = 20_000;
const HEAD_BYTES = 5;
/** Of an answer that is no `opened`. */
const MAX_ANSWER = 64 << 10;

/** The request for a connection to a server of the guest: what follows its answer is the server's, byte for byte. */
export function connectRequest(target: PortTarget, more: { readonly framed?: true } = {}): Uint8Array {
  const where = target.is === 'tcp' ? { host: target.host, port: target.port } : { path: target.path };
  const connect = { ...where, ...more };
  return agentFrame(
    AGENT_FRAME.request,
    Buffer.from(JSON.stringify({ version: 1, op: 'connect', connect }).toWellFormed()),
  );
}

/** One connection to a server of the guest, over one of its own to the agent. See `GuestPorts.connect`. */
export async function* connectOver(
  connection: AgentStream,
  target: PortTarget,
  input: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  openMs = OPEN_MS,
): AsyncGenerator<PortOutput> {
  using exchange = new Exchange(connection, signal);
  const pump = async (): Promise<void> => {
    for await (const bytes of input) await connection.write(bytes);
    connection.end();
  };
  try {
    const asked = connection.write(connectRequest(target));
    asked.catch(() => undefined); // that it is gone the reader tells better
    const pieces = connection.read()[Symbol.asyncIterator]();
    const first = await openedWithin(exchange, openMs, untilOpened(pieces));
    yield { is: 'opened' };
    const sent = exchange.send(pump);
    if (first.length > 0) yield { is: 'data', data: first };
    for (;;) {
      const next = await exchange.or(pieces.next());
      if (next.done) break;
      yield { is: 'data', data: next.value };
    }
    yield { is: 'end' };
    await exchange.or(sent);
  } catch (error) {
    throw exchange.reasonOf(error);
  }
}

/** What the agent answers to a request for a connection, which has its own time. */
export async function openedWithin<T>(exchange: Exchange, ms: number, answer: Promise<T>): Promise<T> {
  using limit = new TimeLimit(undefined, ms);
  limit.signal.addEventListener('abort', () => exchange.fail(notOpened(ms)), { once: true });
  return await exchange.or(answer);
}

const notOpened = (ms: number): Fault =>
  new Fault('timeout', `The guest agent has not said in ${ms / 1_000} s whether there is a connection`);

/**
 * @returns what came of the server's with the answer
 * @throws Fault `refused` with the agent's words; `tool` for what no agent sends
 */
async function untilOpened(pieces: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  let came = Buffer.alloc(0);
  for (;;) {
    const next = await pieces.next();
    if (next.done) throw new Fault('tool', 'The guest agent hung up before there was a connection');
    came = Buffer.concat([came, next.value]);
    if (came.length < HEAD_BYTES) continue;
    const type = came.readUInt8(0);
    const length = came.readUInt32BE(1);
    if (type === AGENT_FRAME.opened && length === 0) return came.subarray(HEAD_BYTES);
    if (type !== AGENT_FRAME.error || length > MAX_ANSWER)
      throw new Fault('tool', `The guest agent answered with a frame of type ${type} and ${length} bytes`);
    if (came.length < HEAD_BYTES + length) continue;
    throw new Fault('refused', printable(parseError(came.subarray(HEAD_BYTES, HEAD_BYTES + length))));
  }
}

/** A guest's words end in logs and on terminals. */
export const printable = (words: string): string => words.replace(/[^\x20-\x7e]/g, '?').slice(0, 200);

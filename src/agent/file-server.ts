import { Fault } from '../domain/fault.ts';
import type { FileContent } from '../ports/guest-files.ts';
import { AGENT_FRAME, agentFrame, filesRequest, inputFrame, parseError } from './agent-frames.ts';
import { Exchange } from './exchange.ts';
import { type AgentConnection, piecesOf } from './exec.ts';
import { contentFrame, type FileRecord, failureOf, holeRecord, RECORD, RecordDecoder, record } from './file-records.ts';

/** What one connection is opened for. */
export interface FilesAsked {
  readonly request: Uint8Array;
  /** For the message of what went wrong. */
  readonly what: string;
  /** Extended attributes, which follow the request itself. */
  readonly extended?: Uint8Array | undefined;
  /** What follows the request. */
  readonly content?: AsyncIterable<FileContent>;
}

/** Of a file, in one record. */
const PIECE_BYTES = 64 << 10;

/**
 * One operation of the file server, over a connection of its own, which is closed at its end. Ends when the operation is done.
 *
 * @throws Fault of what went wrong in the guest; `tool` when the agent goes away or is none; the signal's reason; what
 *   `content` throws
 */
export async function* askFiles(
  connection: AgentConnection,
  { request, what, extended, content }: FilesAsked,
  signal: AbortSignal,
): AsyncGenerator<readonly FileRecord[]> {
  using exchange = new Exchange(connection, signal);
  const send = (bytes: Uint8Array): Promise<void> => connection.write(agentFrame(AGENT_FRAME.stdin, bytes));
  const pump = async (): Promise<void> => {
    for await (const one of content ?? []) {
      if (exchange.isOver) return;
      if (one.is === 'hole') await send(holeRecord(one.bytes));
      else
        for (let at = 0; at < one.data.length && !exchange.isOver; at += PIECE_BYTES)
          await connection.write(contentFrame(one.data.subarray(at, at + PIECE_BYTES)));
    }
    if (exchange.isOver) return;
    if (content) await send(record(RECORD.end));
    await connection.write(inputFrame({ is: 'stdin end' }));
  };
  try {
    await connection.write(filesRequest());
    await send(extended ? Buffer.concat([request, extended]) : request);
    // That the connection is gone the reader below tells better. Without its end the content is nothing to the guest.
    exchange.send(pump);
    const decoder = new RecordDecoder();
    const pieces = piecesOf(connection)[Symbol.asyncIterator]();
    for (;;) {
      const next = await exchange.or(pieces.next());
      if (next.done) throw new Fault('tool', `The guest agent hung up before it could ${what}`);
      const { type, data } = next.value;
      if (type === AGENT_FRAME.error) throw new Fault('refused', `The guest agent refused: ${parseError(data)}`);
      if (type === AGENT_FRAME.exit) throw new Fault('tool', `The guest agent ended before it could ${what}`);
      if (type !== AGENT_FRAME.stdout) continue;
      const records = [...decoder.push(data)];
      const end = records.findIndex(({ type: one }) => one === RECORD.done || one === RECORD.failed);
      const before = end < 0 ? records : records.slice(0, end);
      if (before.length > 0) yield before;
      const last = records[end];
      if (last?.type === RECORD.failed) throw failureOf(last.payload, what);
      if (last && last.payload.length > 0) yield [last]; // how many extended attributes were not taken
      if (last) return;
    }
  } catch (error) {
    throw exchange.reasonOf(error);
  }
}

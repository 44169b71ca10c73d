import { Fault } from '../domain/fault.ts';
import type { Clock } from '../ports/clock.ts';
import type { FileContent } from '../ports/guest-files.ts';
import { AGENT_FRAME, type AgentPiece, agentFrame, filesRequest, parseError } from './agent-frames.ts';
import { Exchange } from './exchange.ts';
import { type AgentConnection, piecesOf } from './exec.ts';
import { contentHead, type FileRecord, failureOf, holeRecord, RECORD, RecordDecoder, record } from './file-records.ts';

/** What is asked of a file server. */
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
/** A copy of a tree has six operations under way, and the next of each comes in a moment. */
const MOST_AT_REST = 8;
const REST_MS = 1_000;

/**
 * The file servers of one agent. Each is a process in the guest, which to begin takes longer than to read a small file: one that has
 * done what it was asked for serves the next operation, and ends after a second without one.
 */
export class FileServers {
  readonly #open: () => AgentConnection;
  readonly #clock: Pick<Clock, 'after'>;
  readonly #atRest = new Map<FileServer, () => void>();

  /** @param open - a new connection to the agent */
  constructor(open: () => AgentConnection, clock: Pick<Clock, 'after'>) {
    this.#open = open;
    this.#clock = clock;
  }

  /**
   * One operation. Ends when it is done.
   *
   * @throws Fault of what went wrong in the guest; `tool` when the agent goes away or is none; the signal's reason; what
   *   `content` throws
   */
  async *ask(asked: FilesAsked, signal: AbortSignal): AsyncGenerator<readonly FileRecord[]> {
    const server = this.#rested() ?? new FileServer(this.#open());
    try {
      yield* server.ask(asked, signal);
    } finally {
      if (signal.aborted || this.#atRest.size >= MOST_AT_REST || !server.rest()) server.close();
      else
        this.#atRest.set(
          server,
          this.#clock.after(REST_MS, () => this.#end(server)),
        );
    }
  }

  /** The one that was busy last, so that those of a crowd end. */
  #rested(): FileServer | undefined {
    for (const [server, stop] of [...this.#atRest].reverse()) {
      stop();
      this.#atRest.delete(server);
      if (server.isReady) return server;
      server.close();
    }
    return undefined;
  }

  #end(server: FileServer): void {
    this.#atRest.delete(server);
    server.close();
  }
}

/** A connection to a file server: one operation at a time. It is closed where one has not come to its end. */
class FileServer {
  readonly #connection: AgentConnection;
  readonly #pieces: AsyncIterator<AgentPiece>;
  readonly #decoder = new RecordDecoder();
  #isBegun = false;
  /** Whether the last operation has come to its end, on both sides. */
  #isDone = true;
  /** Whether it is closed, or has said what nobody asked for. */
  #isOver = false;
  /** What comes next, where it is waited for already. */
  #ahead: Promise<IteratorResult<AgentPiece>> | undefined;

  constructor(connection: AgentConnection) {
    this.#connection = connection;
    this.#pieces = piecesOf(connection)[Symbol.asyncIterator]();
  }

  /** Whether it can be asked. */
  get isReady(): boolean {
    return this.#isDone && !this.#isOver;
  }

  close(): void {
    this.#isOver = true;
    this.#connection.close();
  }

  /** @returns whether it can be asked once more; then its end is seen meanwhile */
  rest(): boolean {
    if (!this.isReady) return false;
    // Where it is asked meanwhile, that is its answer.
    const over = (): void => {
      if (this.#isDone) this.#isOver = true;
    };
    this.#ahead = this.#pieces.next();
    this.#ahead.then(over, over);
    return true;
  }

  async *ask(
    { request, what, extended, content }: FilesAsked,
    signal: AbortSignal,
  ): AsyncGenerator<readonly FileRecord[]> {
    this.#isDone = false;
    const connection = this.#connection;
    using exchange = new Exchange(connection, signal);
    const send = (bytes: Uint8Array): Promise<void> => connection.write(agentFrame(AGENT_FRAME.stdin, bytes));
    let [isEnding, isSent] = [content === undefined, content === undefined];
    const pump = async (): Promise<void> => {
      for await (const one of content ?? []) {
        if (exchange.isOver) return;
        if (one.is === 'hole') await send(holeRecord(one.bytes));
        else
          for (let at = 0; at < one.data.length && !exchange.isOver; at += PIECE_BYTES) {
            const piece = one.data.subarray(at, at + PIECE_BYTES);
            await connection.write(contentHead(piece.length), piece);
          }
      }
      if (exchange.isOver || !content) return;
      isEnding = true;
      await send(record(RECORD.end));
      isSent = true;
    };
    try {
      const asked = agentFrame(AGENT_FRAME.stdin, extended ? Buffer.concat([request, extended]) : request);
      await connection.write(this.#isBegun ? asked : Buffer.concat([filesRequest(), asked]));
      this.#isBegun = true;
      // That the connection is gone the reader below tells better. Without its end the content is nothing to the guest.
      exchange.send(pump);
      for (;;) {
        const next = await exchange.or(this.#next());
        if (next.done) throw new Fault('tool', `The guest agent hung up before it could ${what}`);
        const { type, data } = next.value;
        if (type === AGENT_FRAME.error) throw new Fault('refused', `The guest agent refused: ${parseError(data)}`);
        if (type === AGENT_FRAME.exit) throw new Fault('tool', `The guest agent ended before it could ${what}`);
        if (type !== AGENT_FRAME.stdout) continue;
        const records = [...this.#decoder.push(data)];
        const end = records.findIndex(({ type: one }) => one === RECORD.done || one === RECORD.failed);
        const last = records[end];
        if (last) {
          // What is done has come there whole, also where our call that sent its end has not returned yet.
          const isWhole = last.type === RECORD.done ? isEnding : isSent;
          // What comes behind the end is of no agent of ours.
          this.#isDone = isWhole && end === records.length - 1 && this.#decoder.isEmpty;
          if (this.#isDone) exchange.keep();
        }
        const before = last ? records.slice(0, end) : records;
        if (before.length > 0) yield before;
        if (last?.type === RECORD.failed) throw failureOf(last.payload, what);
        if (last && last.payload.length > 0) yield [last]; // how many extended attributes were not taken
        if (last) return;
      }
    } catch (error) {
      throw exchange.reasonOf(error);
    }
  }

  #next(): Promise<IteratorResult<AgentPiece>> {
    const next = this.#ahead ?? this.#pieces.next();
    this.#ahead = undefined;
    return next;
  }
}

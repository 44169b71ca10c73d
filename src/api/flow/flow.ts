import { createContextKey } from '@connectrpc/connect';
import type { Caller } from '../../domain/caller.ts';
import { Fault } from '../../domain/fault.ts';
import { PAGE, type Room } from '../../service/answer-room.ts';
import type { RareLog } from '../rare-log.ts';
import { Budget, type Lease } from './budget.ts';
import { FLOW_LIMITS, type FlowLimits } from './limits.ts';
import { Load, type Party } from './load.ts';

/** A page as it is read and as it is sent. */
const PAGE_ROOM = 3 * PAGE.maxBytes;
/** What is smaller is not counted: there are at most so many calls. */
const SMALL = 16 << 10;

/** What all callers together may take of the daemon. */
export class Flow {
  readonly limits: FlowLimits;
  readonly answers: Budget;
  readonly requests: Budget;
  readonly #load: Load;
  readonly #rare: RareLog;

  constructor(rare: RareLog, limits: Partial<FlowLimits> = {}) {
    this.limits = { ...FLOW_LIMITS, ...limits };
    this.#rare = rare;
    this.#load = new Load(this.limits);
    this.answers = new Budget({
      ...this.limits,
      levels: this.limits.answers,
      what: 'answers that were not read yet',
      remedy: 'read them, or ask for less at once',
    });
    this.requests = new Budget({
      ...this.limits,
      levels: this.limits.requests,
      what: 'requests that have come in part',
      remedy: 'send fewer large ones at once',
    });
  }

  /**
   * A call begins.
   * @param cut - ends it, however its caller stands still
   * @throws Fault `full`
   */
  enter(caller: Caller, connection: object, isStream: boolean, cut: () => void): CallFlow {
    const party: Party = { connection, caller: nameOf(caller) };
    const left = this.#load.enter(party, isStream);
    return new CallFlow(this, party, left, (why) => {
      this.#rare.warn(`stalled ${party.caller}`, 'a caller that stood still was let go', {
        ...{ who: caller.who, from: caller.from, why: why.message },
      });
      cut();
    });
  }
}

/** A token is one caller, wherever it calls from; who has none is known by the address. */
const nameOf = ({ who, from }: Caller): string => (who === 'anybody' ? from : who);

/** What one call holds, from its beginning to its end. */
export class CallFlow implements Room {
  readonly #flow: Flow;
  readonly #party: Party;
  readonly #left: () => void;
  readonly #cut: (why: Fault) => void;
  #answer: Lease | undefined;
  #request: Lease | undefined;
  #stall: NodeJS.Timeout | undefined;
  #page = PAGE_ROOM;
  #isOver = false;

  constructor(flow: Flow, party: Party, left: () => void, cut: (why: Fault) => void) {
    this.#flow = flow;
    this.#party = party;
    this.#left = left;
    this.#cut = (why) => {
      if (!this.#isOver) cut(why);
    };
  }

  /**
   * Waits until an answer may be made.
   * @param bytes - as many as it may be; 0: it is not known, and seldom much
   */
  async answer(bytes: number, signal: AbortSignal): Promise<void> {
    this.#answer?.free();
    this.#answer = this.#kept(await this.#flow.answers.take({ party: this.#party, signal, cut: this.#cut }, bytes));
  }

  /** How large the answer is that was made. */
  made(bytes: number): void {
    this.#answer?.resize(bytes > SMALL ? bytes : 0);
  }

  /** Waits until so much of a request may come. */
  async request(bytes: number, signal: AbortSignal): Promise<void> {
    if (bytes <= SMALL) return;
    this.#request?.free();
    this.#request = this.#kept(await this.#flow.requests.take({ party: this.#party, signal, cut: this.#cut }, bytes));
  }

  /** The request, or this part of it, is whole and read. */
  requestRead(): void {
    this.#request?.free();
    this.#request = undefined;
  }

  next(signal: AbortSignal): Promise<void> {
    return this.answer(this.#page, signal);
  }

  holds(bytes: number): void {
    // The next of a stream is like the last.
    this.#page = Math.max(PAGE_ROOM, Math.min(bytes, this.#flow.limits.answers.connection / 2));
    this.#answer?.resize(bytes);
  }

  none(): void {
    this.#answer?.resize(0);
  }

  /** A piece goes to the caller: it has so long to take it. */
  sends(): void {
    clearTimeout(this.#stall);
    const ms = this.#flow.limits.stalledMs;
    this.#stall = setTimeout(
      () => this.#cut(new Fault('full', `It took nothing of its answer for ${ms / 1_000} s`)),
      ms,
    );
  }

  /** It has taken it. */
  sent(): void {
    clearTimeout(this.#stall);
    this.#answer?.moved();
  }

  received(): void {
    this.#request?.moved();
  }

  /** Any number of times. */
  end(): void {
    this.#isOver = true;
    clearTimeout(this.#stall);
    this.#answer?.free();
    this.#request?.free();
    this.#left();
  }

  /** A call may have ended while it waited. */
  #kept(lease: Lease): Lease {
    if (this.#isOver) lease.free();
    return lease;
  }
}

/** What the verbs of gRPC know their call's by. */
export const FLOW = createContextKey<CallFlow | undefined>(undefined, { description: 'what the call holds' });

/** Who may send next, of the calls of a connection. */
export interface Turns {
  take(call: object): Promise<void>;
  gone(call: object): void;
}

/** So much goes to a connection at once, of each call: what waits there is out of our hands. */
export const PIECE_BYTES = 32 << 10;

/** A body in pieces: the next is asked for when the last was taken. */
export async function* inPieces(
  body: AsyncIterable<Uint8Array>,
  flow: CallFlow,
  { isStream, turns }: { readonly isStream: boolean; readonly turns?: Turns },
): AsyncGenerator<Uint8Array> {
  const chunks = body[Symbol.asyncIterator]();
  try {
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) {
      const chunk = next.value;
      if (!isStream) flow.made(chunk.length);
      for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
        await turns?.take(flow);
        flow.sends();
        yield chunk.length <= PIECE_BYTES ? chunk : chunk.subarray(at, at + PIECE_BYTES);
        flow.sent();
        turns?.gone(flow);
      }
    }
    flow.sends(); // what is left of it is on its way
  } catch (error) {
    // It could not be written: whoever makes the rest is told.
    await chunks.throw?.(error).catch(() => undefined);
    throw error;
  } finally {
    turns?.gone(flow);
    await chunks.return?.(undefined);
  }
}

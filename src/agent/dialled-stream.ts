import { TimeLimit } from '../base/time-limit.ts';
import { Fault } from '../domain/fault.ts';
import type { Channel, Dial } from '../ports/channel.ts';
import type { AgentStream } from './exec.ts';

/** A connection is made at once, or its guest is busy. */
const DIAL_MS = 15_000;
/** A guest's list of those that wait may be full for a moment. */
const TRIES = 3;
const AGAIN_MS = 200;

export interface DialledStreamDeps {
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  after(ms: number, act: () => void): () => void;
  /** Called when it is over. @param brokeOff - not by us, or never made */
  onOver(stream: DialledStream, brokeOff: boolean): void;
}

/**
 * When both what we send and the guest are silent for so long, it is over: of an end of ours alone the guest cannot be
 * told, and it waits for nothing else.
 */
const QUIET_MS = 2_000;

/** A connection of its own to a port of an agent's, begun when it is made. */
export class DialledStream implements AgentStream {
  readonly #deps: DialledStreamDeps;
  readonly #stop = new AbortController();
  readonly #channel: Promise<Channel>;
  #isOver = false;
  #hasEnded = false;
  /** We ended it, because both were silent. */
  #wasQuiet = false;
  #stopQuiet = (): void => undefined;

  constructor(dial: Dial, port: number, deps: DialledStreamDeps) {
    this.#deps = deps;
    this.#channel = this.#dial(dial, port);
    this.#channel.catch(() => this.#over(true)); // who writes or reads is told why
  }

  /** @throws Fault `tool` when it is over, or cannot be made */
  async write(...parts: readonly Uint8Array[]): Promise<void> {
    const channel = await this.#channel;
    try {
      await Promise.all(parts.filter(({ length }) => length > 0).map((bytes) => channel.write(bytes)));
    } catch (error) {
      this.#throwIfStopped();
      throw asTool(error);
    }
  }

  end(): void {
    this.#hasEnded = true;
    this.#watchQuiet();
  }

  close(): void {
    this.fail(new Fault('tool', 'The connection to the guest agent is closed'));
  }

  /** Ends it, with what its users are told. */
  fail(why: Fault): void {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort(why);
    this.#channel.then(
      (channel) => channel.close(),
      () => undefined,
    );
    this.#over(false);
  }

  /**
   * What comes, until the agent ends it. Read once.
   * @throws Fault `tool` where it broke off, or came to an end before anything had come
   */
  async *read(): AsyncGenerator<Uint8Array> {
    let hasCome = false;
    /** Whoever has read enough ends it, and nothing is wrong. */
    let hasEnded = false;
    try {
      const channel = await this.#channel;
      for await (const bytes of channel.read(this.#stop.signal)) {
        hasCome = true;
        this.#watchQuiet();
        yield bytes;
      }
      hasEnded = true;
      this.#throwIfStopped();
    } catch (error) {
      hasEnded = true;
      this.#throwIfStopped();
      if (!this.#wasQuiet) throw asTool(error);
    } finally {
      this.#stopQuiet();
      if (hasEnded) this.#over(!this.#stop.signal.aborted && !this.#wasQuiet);
    }
    if (!hasCome) throw new Fault('tool', 'The guest closed the connection before it had said anything');
  }

  async #dial(dial: Dial, port: number): Promise<Channel> {
    using limit = new TimeLimit(this.#stop.signal, DIAL_MS);
    for (let tries = 1; ; tries++) {
      try {
        return await dial(port, limit.signal);
      } catch (error) {
        this.#throwIfStopped();
        if (limit.isLate)
          throw new Fault('tool', `The guest agent did not answer on port ${port} in ${DIAL_MS / 1000} s`);
        if (tries === TRIES) throw asTool(error);
      }
      await this.#deps.sleep(AGAIN_MS, limit.signal);
    }
  }

  #watchQuiet(): void {
    this.#stopQuiet();
    if (!this.#hasEnded || this.#stop.signal.aborted) return;
    this.#stopQuiet = this.#deps.after(QUIET_MS, () => {
      this.#wasQuiet = true;
      this.#channel.then(
        (channel) => channel.close(),
        () => undefined,
      );
    });
  }

  #over(brokeOff: boolean): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stopQuiet();
    this.#deps.onOver(this, brokeOff);
  }

  #throwIfStopped(): void {
    this.#stop.signal.throwIfAborted();
  }
}

/** Whoever uses it is told that the agent is away, however that showed. */
function asTool(error: unknown): Fault {
  if (error instanceof Fault && error.kind === 'tool') return error;
  return new Fault('tool', error instanceof Error ? error.message : String(error), { cause: error });
}

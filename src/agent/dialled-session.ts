import { TimeLimit } from '../base/time-limit.ts';
import { Fault } from '../domain/fault.ts';
import type { Dial } from '../ports/channel.ts';
import type { Clock } from '../ports/clock.ts';
import { DialledStream } from './dialled-stream.ts';
import { type AgentSession, askInfo, CONTROL_PORT } from './exec.ts';
import { saysGoodbye } from './watch.ts';

export interface DialledDeps {
  readonly clock: Pick<Clock, 'after' | 'elapsed' | 'sleep'>;
  /** Whether the guest's CPUs run: one that is paused answers nobody. */
  isRunning(): boolean;
}

/** So often an agent is asked whether it is there, in milliseconds; so long it may take for its answer. */
const PING_MS = 10_000;
/** As many as of one that has a port: the agent has room for 128. */
const MAX_STREAMS = 100;
/** How often one is looked for in a guest that boots, and then less and less. */
const LOOK_MS = 250;
const LOOK_MOST_MS = 10_000;
/** So often it is looked for before that becomes rare. */
const QUICK_LOOKS = 120;
/** Tries in a row before one that does not answer counts as gone. */
const TRIES = 3;
const AGAIN_MS = 200;
/** An agent that has said so is still there for a moment. */
const GOODBYE_MS = 1_000;
/** That nobody listens a kernel says within milliseconds; a VMM waits 2 s for it. So often in a row it must say nothing. */
const SILENT_MS = 1_500;
const SILENT_MOST_MS = 5_000;
const SILENT_LOOKS = 3;
/** Of a quarter of a second: a shutdown takes no longer, or something else was ended. */
const END_LOOKS = 480;
/** In a machine that resets in place there is no socket for a moment: so often it must be missing, one look after the other. */
const MISSING_LOOKS = 12;

/**
 * One meeting with an agent that takes connections of their own: from its first answer until it gives none. Unlike a port, a
 * connection tells of its end, so that one that breaks off makes us ask at once.
 */
export class DialledSession implements AgentSession {
  readonly ready: Promise<void>;
  readonly over: Promise<string>;
  /** Firecracker and Cloud Hypervisor end the whole connection for it. */
  readonly hasHalves = false;
  readonly #dial: Dial;
  readonly #deps: DialledDeps;
  readonly #streams = new Set<DialledStream>();
  readonly #stop = new AbortController();
  readonly #onOver: (why: string) => void;
  #refusal: Fault | undefined;
  #hasHalted = false;
  /** Whether its agent tells when it goes down, whether one is listened to for that, and whether it has said so. */
  #canWatch = false;
  #isWatching = false;
  #isGoingDown = false;
  #isReady = false;
  #isAsking = false;
  #stopTimer = (): void => undefined;

  constructor(dial: Dial, deps: DialledDeps) {
    this.#dial = dial;
    this.#deps = deps;
    const ready = Promise.withResolvers<void>();
    const over = Promise.withResolvers<string>();
    this.ready = ready.promise;
    this.over = over.promise;
    this.#onOver = over.resolve;
    void this.#find().then((found) => {
      if (!found) return;
      this.#isReady = true;
      ready.resolve();
      this.#askLater();
      void this.#watch();
    });
  }

  get hasHalted(): boolean {
    return this.#hasHalted;
  }

  get refusal(): Fault | undefined {
    return this.#refusal;
  }

  open(port: number): DialledStream {
    if (this.#stop.signal.aborted || !this.#isReady) throw new Fault('tool', 'The guest agent is not there');
    if (this.#streams.size >= MAX_STREAMS)
      throw new Fault('full', `The guest agent has ${MAX_STREAMS} streams open: try again when one has ended`);
    return this.#connect(port);
  }

  close(why = 'it was let go of'): void {
    if (this.#stop.signal.aborted) return;
    this.#stopTimer();
    this.#stop.abort(new Error(why));
    const failure = new Fault('tool', `The guest agent is gone: ${why}`);
    for (const stream of [...this.#streams]) stream.fail(failure);
    this.#onOver(why);
  }

  #connect(port: number): DialledStream {
    const { clock } = this.#deps;
    const stream = new DialledStream(this.#dial, port, {
      sleep: (ms, signal) => clock.sleep(ms, signal),
      after: (ms, act) => clock.after(ms, act),
      onOver: (whose, brokeOff) => {
        this.#streams.delete(whose);
        if (brokeOff) void this.#ask();
      },
    });
    this.#streams.add(stream);
    return stream;
  }

  /** @returns false when it was given up */
  async #find(): Promise<boolean> {
    let missing = 0;
    for (let looks = 1, pause = LOOK_MS; !this.#stop.signal.aborted; looks++) {
      try {
        if (this.#deps.isRunning()) {
          await this.#answer();
          return !this.#stop.signal.aborted;
        }
      } catch (error) {
        const refusal = error instanceof Fault && error.kind === 'refused' ? error : undefined;
        missing = refusal ? missing + 1 : 0;
        if (refusal && missing >= MISSING_LOOKS) {
          this.#refusal = refusal;
          this.close(refusal.message);
        }
      }
      if (looks > QUICK_LOOKS) pause = Math.min(pause * 2, LOOK_MOST_MS);
      await this.#deps.clock.sleep(pause, this.#stop.signal).catch(() => undefined);
    }
    return false;
  }

  /** Beside the streams that are counted: one that has all of them open is there. @throws when it does not answer */
  async #answer(withinMs = PING_MS): Promise<void> {
    using limit = new TimeLimit(this.#stop.signal, withinMs);
    const channel = await this.#dial(CONTROL_PORT, limit.signal);
    const { features } = await askInfo(
      {
        write: (bytes) => channel.write(bytes),
        read: () => channel.read(limit.signal),
        close: () => channel.close(),
      },
      limit.signal,
    );
    this.#canWatch = features.includes('watch');
    this.#isGoingDown = false;
  }

  /** A connection that breaks off tells at once that its agent is gone, too. */
  async #watch(): Promise<void> {
    if (!this.#canWatch || this.#isWatching || this.#stop.signal.aborted) return;
    this.#isWatching = true;
    try {
      const channel = await this.#dial(CONTROL_PORT, this.#stop.signal);
      this.#isGoingDown = await saysGoodbye(channel, this.#stop.signal);
    } catch {
      // That it is gone is seen by asking.
    } finally {
      this.#isWatching = false;
    }
    if (this.#isGoingDown) await this.#seeItEnd();
    else await this.#ask();
  }

  /**
   * Its agent said that it goes down. As long as the guest's kernel runs it says at once that nobody listens; one that has
   * halted says nothing. Or only the agent was ended, and it may come again.
   */
  async #seeItEnd(): Promise<void> {
    const { clock } = this.#deps;
    await clock.sleep(GOODBYE_MS, this.#stop.signal).catch(() => undefined);
    for (let looks = 0, silent = 0; looks < END_LOOKS && this.#isGoingDown && !this.#stop.signal.aborted; looks++) {
      const begun = clock.elapsed();
      await this.#answer(SILENT_MOST_MS).catch(() => undefined);
      if (this.#stop.signal.aborted) return;
      const isSilent = this.#isGoingDown && this.#deps.isRunning() && clock.elapsed() - begun >= SILENT_MS;
      silent = isSilent ? silent + 1 : 0;
      if (silent === SILENT_LOOKS) {
        this.#hasHalted = true;
        return this.close('its guest has shut down');
      }
      await clock.sleep(isSilent ? 0 : LOOK_MS, this.#stop.signal).catch(() => undefined);
    }
    this.#isGoingDown = false;
    await this.#ask();
  }

  #askLater(): void {
    this.#stopTimer();
    if (this.#stop.signal.aborted) return;
    this.#stopTimer = this.#deps.clock.after(PING_MS, () => {
      void this.#ask().then(() => this.#watch());
    });
  }

  /** One that does not answer is gone, but where its CPUs stood meanwhile. */
  async #ask(): Promise<void> {
    if (this.#isAsking || this.#isGoingDown || !this.#isReady || this.#stop.signal.aborted) return;
    this.#isAsking = true;
    const wasRunning = this.#deps.isRunning();
    try {
      if (wasRunning) await this.#answerSoon();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (wasRunning && this.#deps.isRunning()) this.close(`it does not answer: ${why}`);
    } finally {
      this.#isAsking = false;
      this.#askLater();
    }
  }

  /** One that begins anew at once is another, whose commands have ended: that its streams broke off tells. */
  async #answerSoon(): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#answer();
      } catch (error) {
        if (tries === TRIES || this.#stop.signal.aborted) throw error;
      }
      await this.#deps.clock.sleep(AGAIN_MS, this.#stop.signal);
    }
  }
}

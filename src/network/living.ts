import { Semaphore } from '../base/semaphore.ts';
import { TimeLimit } from '../base/time-limit.ts';
import { Fault } from '../domain/fault.ts';
import type { Clock } from '../ports/clock.ts';
import type { Conversation, Converse, Run } from '../ports/host.ts';
import type { Log } from '../ports/log.ts';
import type { LivingForm } from './living-forms.ts';

/** A start and one answer take 5 ms. */
const TRIAL_MS = 5_000;
/** One that cannot be spoken to is tried again after so long. */
const AGAIN_MS = 60_000;
/** `ip` keeps 6 KB for each thing that is said to it: after so many another takes its place. */
const MOST_SAID = 1_000;
/** More than one is kept for so long without work. */
const SPARE_MS = 10_000;
/** As of a tool that runs once: nobody fills our memory. */
const MOST_TEXT = 32 << 20;
/** Of setTimeout. */
const MOST_MS = 2 ** 31 - 1;

export interface LivingHands {
  readonly converse: Converse;
  readonly clock: Clock;
  readonly log: Log;
  /** What each limit of time is multiplied by. */
  readonly patience: number;
  /** They end with it. */
  readonly signal: AbortSignal;
}

/**
 * A {@link Run} for one command line whose input is lines: processes that stay
 * do what a process of its own would do for each call, without its start.
 * Where one cannot be spoken to, or does not answer as one who has done it,
 * that process is started as ever, and its word counts.
 *
 * Each does one act at a time. One whose act was not done, or was broken off, is
 * ended before that is told, and the next act gets another.
 *
 * @param spawned - the same command line, run once
 */
export function createLiving(form: LivingForm, spawned: Run, hands: LivingHands): Run {
  const { clock, log, patience, signal: over } = hands;
  const turns = new Semaphore(form.most);
  const [program] = form.argv;
  let idle: readonly Speaker[] = [];
  let doubtedUntil = 0;
  let isTold = false;

  const doubt = (why: string): void => {
    doubtedUntil = clock.elapsed() + AGAIN_MS;
    const tell = isTold ? log.debug : log.info;
    isTold = true;
    tell.call(log, 'a tool cannot be kept, and is started for each act instead', { tool: form.argv.join(' '), why });
  };

  /** @returns undefined where there can be none */
  const start = async (signal: AbortSignal): Promise<Speaker | undefined> => {
    if (over.aborted || clock.elapsed() < doubtedUntil) return undefined;
    const speaker = new Speaker(form, hands);
    using time = new TimeLimit(signal, TRIAL_MS * patience);
    const answer = await speaker.ask('', time.signal);
    if (answer !== undefined) return speaker; // whatever it said of itself before
    await speaker.end();
    signal.throwIfAborted();
    if (!over.aborted) doubt(time.isLate ? 'it does not answer' : await speaker.how());
    return undefined;
  };

  const take = async (signal: AbortSignal): Promise<Speaker | undefined> => {
    const there = idle.findLast((one) => one.isThere);
    idle = idle.filter((one) => one.isThere && one !== there);
    return there ?? start(signal);
  };

  const giveBack = (speaker: Speaker): void => {
    if (speaker.said >= MOST_SAID) {
      void speaker.end();
      return;
    }
    idle = [...idle, speaker];
    if (idle.length > 1) stopTrim ??= clock.after(SPARE_MS, trim);
  };
  let stopTrim: (() => void) | undefined;
  const trim = (): void => {
    stopTrim = undefined;
    for (const spare of idle.slice(0, -1)) void spare.end();
    idle = idle.slice(-1);
  };
  over.addEventListener('abort', () => stopTrim?.(), { once: true });

  return (argv, limits) =>
    turns.run(limits.signal, async () => {
      const speaker = await take(limits.signal);
      if (!speaker) return spawned(argv, limits);
      using time = new TimeLimit(limits.signal, Math.min(limits.timeoutMs * patience, MOST_MS));
      const parts = form.parts((limits.input ?? '').split('\n').filter((line) => line !== ''));
      let out = '';
      for (const [at, part] of parts.entries()) {
        const answer = await speaker.ask(part, time.signal);
        if (answer !== undefined && form.isDone(part, answer)) {
          out += answer;
          continue;
        }
        await speaker.end();
        limits.signal.throwIfAborted();
        if (time.isLate)
          throw new Fault(
            'timeout',
            `${program} did not end in ${limits.timeoutMs * patience} ms; if this host is slow, give the daemon a larger --patience`,
          );
        if (speaker.wasKilled) throw new Fault('tool', `${program} failed ${await speaker.how()}`);
        const rest = parts.length === 1 ? limits.input : `${parts.slice(at).join('\n')}\n`;
        return out + (await spawned(argv, { ...limits, ...(rest !== undefined && { input: rest }) }));
      }
      giveBack(speaker);
      return out;
    });
}

/** One process that stays. */
class Speaker {
  readonly #form: LivingForm;
  readonly #conversation: Conversation;
  #text = '';
  #heard = (): void => undefined;
  #exit: { readonly code: number | null; readonly signal: string | null } | undefined;
  #hasEnded = false;
  #said = 0;

  constructor(form: LivingForm, { converse, signal }: Pick<LivingHands, 'converse' | 'signal'>) {
    this.#form = form;
    this.#conversation = converse(form.argv, {
      signal,
      onText: (text) => {
        this.#text += text;
        if (this.#text.length > MOST_TEXT) this.#conversation.end();
        this.#heard();
      },
    });
    void this.#conversation.ended.then((exit) => {
      this.#exit = exit;
      this.#heard();
    });
  }

  get isThere(): boolean {
    return this.#exit === undefined;
  }

  /** How much was said to it, marks too. */
  get said(): number {
    return this.#said;
  }

  /** By whomever, but us. */
  get wasKilled(): boolean {
    return !this.#hasEnded && this.#exit?.signal != null;
  }

  /** @returns undefined: it ended, or the signal has ended it */
  async ask(part: string, signal: AbortSignal): Promise<string | undefined> {
    const mark = `zz${++this.#said}`;
    this.#said += part === '' ? 0 : part.split('\n').length;
    this.#text = '';
    const onAbort = (): void => this.#kill();
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) this.#kill();
    else this.#conversation.say(part === '' ? `${mark}\n` : `${part}\n${mark}\n`);
    try {
      for (;;) {
        const changed = new Promise<void>((resolve) => {
          this.#heard = resolve;
        });
        if (this.#exit) return undefined;
        const answer = this.#form.answer(this.#text, mark);
        if (answer !== undefined) return answer;
        await changed;
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Resolves once it has. */
  async end(): Promise<void> {
    if (this.isThere) this.#kill();
    await this.#conversation.ended;
  }

  /** Its end in words, and its last ones. */
  async how(): Promise<string> {
    const { code, signal } = await this.#conversation.ended;
    const how = code !== null ? `exit status ${code}` : signal !== null ? `ended by ${signal}` : 'not started';
    return `(${how}): ${this.#text.trim().slice(-2_000) || 'it said nothing'}`;
  }

  #kill(): void {
    this.#hasEnded = true;
    this.#conversation.end();
  }
}

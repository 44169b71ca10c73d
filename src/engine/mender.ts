import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Flaw } from '../ports/network-watch.ts';

export interface MenderOptions {
  /** For the log: `the network`, with `where` beside it. */
  readonly what: string;
  readonly where: Readonly<Record<string, string>>;
  readonly clock: Clock;
  readonly log: Log;
}

/** What an operator sets so often within {@link FIGHT_MS} after it was set right, he means. */
const FIGHT_TIMES = 3;
const FIGHT_MS = 600_000;

/** Sets right what is not as the ledger says, and knows when to let be. */
export class Mender {
  readonly #options: MenderOptions;
  /** When each thing that may be somebody's choice was set right. */
  readonly #mended = new Map<string, number[]>();
  readonly #respected = new Set<string>();
  /** What nothing here sets right, and was said. */
  #lasting: ReadonlySet<string> = new Set();

  constructor(options: MenderOptions) {
    this.#options = options;
  }

  /** Whether somebody means a thing to be so: it is left alone until it is as it was made. */
  respects(thing: string): boolean {
    return this.#respected.has(thing);
  }

  /**
   * @param find - looks what is wrong; asked again before anything is done: what comes and goes is no flaw
   * @param remake - makes all again as it was made first
   * @returns what is wrong all the same, or left so
   */
  async look(
    find: () => Promise<readonly Flaw[]>,
    remake: () => Promise<void>,
    signal: AbortSignal,
  ): Promise<readonly Flaw[]> {
    const { what, where, log } = this.#options;
    const first = await find();
    for (const thing of this.#respected)
      if (!first.some((flaw) => flaw.thing === thing)) {
        this.#respected.delete(thing);
        log.info('what was left as somebody set it is as it was made again', { ...where, thing });
      }
    const again = first.length === 0 ? [] : await find();
    const flaws = again.filter(({ thing }) => first.some((flaw) => flaw.thing === thing));
    this.#sayLasting(flaws);
    for (const flaw of flaws) this.#judge(flaw);
    const wrong = flaws.filter(({ thing, isLasting }) => !isLasting && !this.#respected.has(thing));
    if (wrong.length === 0) return flaws.map((flaw) => (flaw.isLasting ? flaw : asLeft(flaw)));
    log.warn(`${what} is not whole and is mended`, { ...where, flaws: wrong.map((flaw) => flaw.what) });
    const failures: unknown[] = [];
    for (const flaw of wrong)
      try {
        await flaw.mend?.(signal);
      } catch (error) {
        signal.throwIfAborted();
        failures.push(error); // one that cannot be mended keeps none of the others
      }
    if (wrong.some(({ mend, remake: also }) => !mend || also)) await remake();
    if (failures.length > 0) throw failures[0];
    const left = (await find()).filter(({ thing }) => flaws.some((flaw) => flaw.thing === thing));
    const isMended = left.every(({ thing, isLasting }) => isLasting || this.#respected.has(thing));
    if (isMended) log.info(`${what} is mended`, { ...where });
    else log.error(`${what} could not be mended`, { ...where, flaws: left.map((flaw) => flaw.what) });
    return left.map((flaw) => (this.#respected.has(flaw.thing) ? asLeft(flaw) : flaw));
  }

  #sayLasting(flaws: readonly Flaw[]): void {
    const { what, where, log } = this.#options;
    const lasting = flaws.filter(({ isLasting }) => isLasting);
    const news = lasting.filter(({ thing }) => !this.#lasting.has(thing));
    if (news.length > 0)
      log.warn(`${what} is not whole, and cannot be mended from here`, {
        ...where,
        flaws: news.map((flaw) => flaw.what),
      });
    this.#lasting = new Set(lasting.map(({ thing }) => thing));
  }

  #judge({ thing, what, isChoice }: Flaw): void {
    if (!isChoice || this.#respected.has(thing)) return;
    const { clock, log, where } = this.#options;
    const now = clock.elapsed();
    const times = (this.#mended.get(thing) ?? []).filter((at) => now - at < FIGHT_MS);
    if (times.length >= FIGHT_TIMES) {
      this.#respected.add(thing);
      this.#mended.delete(thing);
      log.warn('somebody sets this again and again: it is left so', { ...where, flaw: what });
      return;
    }
    this.#mended.set(thing, [...times, now]);
  }
}

const asLeft = (flaw: Flaw): Flaw => ({ ...flaw, what: `${flaw.what} (set again and again, so it is left so)` });

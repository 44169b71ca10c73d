import { gaveUpBefore } from '../../domain/emergency.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Files } from '../../ports/host.ts';
import type { VmmEnd } from '../../ports/vmm.ts';
import { gaveUpEnd, panicEnd, panicLine, resetLoopEnd } from './ends.ts';
import { Resets } from './resets.ts';
import { CONSOLE_TAIL, lengthOf, tailOf } from './tail.ts';

export interface BootsOptions {
  readonly files: Files;
  readonly clock: Pick<Clock, 'elapsed'>;
  /** The file with what the guest wrote to its console. */
  readonly console: string;
  /** Where in it this run begins. */
  readonly bootedAt: number;
}

/** How often a guest has booted in one run, and where in its console each boot begins. */
export class Boots {
  readonly #options: BootsOptions;
  readonly #resets = new Resets();
  readonly #listeners: (() => void)[] = [];
  #from = 0;
  #bootedAt: number;

  constructor(options: BootsOptions) {
    this.#options = options;
    this.#bootedAt = options.bootedAt;
  }

  /** As in `RunningVmm`. */
  get bootedAt(): number {
    return this.#bootedAt;
  }

  /** From where on the console is of this boot for sure. */
  get from(): number {
    return this.#from;
  }

  onBoot(begun: () => void): void {
    this.#listeners.push(begun);
  }

  close(): void {
    this.#listeners.length = 0;
  }

  /** What the console holds by now is no news. */
  async watch(): Promise<void> {
    const { files, console } = this.#options;
    this.#from = await lengthOf(files, console);
  }

  /**
   * The guest was reset. One that has no driver for a panic device reboots when it panics (`panic=-1`), and so do some
   * initrds that find no root; they would do so for ever: what it said last tells.
   *
   * @param byGuest - nobody on the host asked for it
   * @param advice - as of `panicEnd`
   * @returns why its run is over; undefined: it goes on
   */
  async reset(byGuest: boolean, advice: string): Promise<VmmEnd | undefined> {
    const { files, clock, console } = this.#options;
    if (byGuest) this.#resets.add(clock.elapsed());
    const from = this.#from;
    this.#from = await lengthOf(files, console);
    this.#bootedAt = this.#from;
    for (const begun of this.#listeners) begun();
    const tail = await tailOf(files, console, from, CONSOLE_TAIL);
    const panic = panicLine(tail);
    const gaveUp = byGuest ? gaveUpBefore(tail) : undefined;
    const { loop } = this.#resets;
    if (panic !== undefined) return panicEnd(panic, advice);
    if (gaveUp !== undefined) return gaveUpEnd(gaveUp);
    return loop === undefined ? undefined : resetLoopEnd(loop);
  }
}

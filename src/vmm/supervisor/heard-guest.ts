import type { GuestState, VmmEnd } from '../../ports/vmm.ts';
import { POWERED_OFF, panicEnd } from './ends.ts';
import type { GuestReport, MonitorEvent } from './monitor.ts';

/** What follows of what a VMM tells. */
export interface HeardActs {
  /** The machine was reset, and boots anew. */
  readonly reset: (byGuest: boolean) => void;
  /** Its run cannot go on. */
  readonly end: (verdict: VmmEnd) => void;
  /** It waits for its first instruction. */
  readonly ready: () => void;
}

/** What a guest does, by the words of its VMM: told unasked, or answered. */
export class HeardGuest {
  readonly #acts: HeardActs;
  readonly #listeners: ((state: GuestState) => void)[] = [];
  #state: GuestState = 'unreachable';
  #told: Extract<MonitorEvent, { is: 'ending' }> | undefined;
  #panicked = false;
  #over = false;
  /** While a reboot is under way the guest's end is part of it. */
  isRebooting = false;
  /** Whether it waits for its first instruction. */
  isReady = false;

  constructor(acts: HeardActs) {
    this.#acts = acts;
  }

  /** The last that was known. */
  get state(): GuestState {
    return this.#state;
  }

  /** Why its VMM was about to end, by that one's own word. */
  get told(): Extract<MonitorEvent, { is: 'ending' }> | undefined {
    return this.#told;
  }

  get panicked(): boolean {
    return this.#panicked;
  }

  onChange(changed: (state: GuestState) => void): void {
    this.#listeners.push(changed);
  }

  /** Nothing of it is heard any more. */
  close(): void {
    this.#over = true;
    this.#listeners.length = 0;
  }

  is(state: GuestState): void {
    if (this.#over || this.#state === state) return;
    this.#state = state;
    for (const listener of this.#listeners) listener(state);
  }

  hear(event: MonitorEvent): void {
    if (this.#over) return;
    switch (event.is) {
      case 'running':
      case 'held':
        this.is(event.is);
        break;
      case 'paused':
        // A machine is stopped on its way to many ends.
        if (this.#state !== 'held' && !this.#told && !this.isRebooting) this.is('paused');
        break;
      case 'reset':
        this.#acts.reset(event.byGuest);
        break;
      case 'panicked':
        this.#panicked = true;
        break;
      case 'ending':
        if (!this.isRebooting) this.#told = event;
        break;
      default:
        event satisfies never;
    }
  }

  take(report: GuestReport): void {
    this.isReady = report.is === 'ready';
    switch (report.is) {
      case 'ready':
        if (!this.isRebooting) this.#acts.ready();
        break;
      case 'running':
      case 'held':
        this.is(report.is);
        break;
      case 'broken':
        this.#acts.end(report.end);
        break;
      case 'panicked':
        this.#acts.end(panicEnd(undefined));
        break;
      case 'off':
        // A reboot was broken off with its daemon.
        if (!this.isRebooting) this.#acts.end(this.#panicked ? panicEnd(undefined) : POWERED_OFF);
        break;
      case 'paused':
        if (!this.isRebooting) this.is('paused');
        break;
      default:
        report satisfies never;
    }
  }
}

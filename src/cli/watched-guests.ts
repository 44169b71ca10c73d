import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { ConnectError } from '@connectrpc/connect';
import { errorMessage } from '../base/error-text.ts';
import type { StatisticsResponse } from '../gen/flintlock/microvm/v1/guest_statistics_pb.ts';
import type { MicroVM } from '../gen/types/microvm_pb.ts';
import type { Context } from './context.ts';
import { nameOf, stateOf, uidOf } from './print/microvm.ts';
import type { Row } from './print/top.ts';
import { ratesOf } from './rates.ts';

interface Watched {
  readonly vm: MicroVM;
  readonly leave: AbortController;
  /** The one before `last`. */
  before?: StatisticsResponse;
  last?: StatisticsResponse;
  why?: string;
  isOver: boolean;
}

export interface WatchOptions {
  readonly intervalMs: number;
  readonly processes: number;
  /** Called at each sample, and where there is none. */
  readonly changed: () => void;
}

/** What guests tell of themselves, one call of the daemon's for each. */
export class WatchedGuests {
  readonly #context: Context;
  readonly #options: WatchOptions;
  readonly #watched = new Map<string, Watched>();
  readonly #running = new Set<Promise<void>>();

  constructor(context: Context, options: WatchOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** Watches these and no others; what has ended is begun anew. */
  watch(vms: readonly MicroVM[]): void {
    const uids = new Set(vms.map(uidOf));
    for (const [uid, { leave }] of this.#watched)
      if (!uids.has(uid)) {
        leave.abort(new Error('it is gone'));
        this.#watched.delete(uid);
      }
    for (const vm of vms) {
      const old = this.#watched.get(uidOf(vm));
      if (old && !old.isOver) continue;
      const leave = new AbortController();
      const one: Watched = { vm, leave, isOver: false, ...(old?.why !== undefined && { why: old.why }) };
      this.#watched.set(uidOf(vm), one);
      const running = this.#follow(one).finally(() => this.#running.delete(running));
      this.#running.add(running);
    }
  }

  /** In the order in which they were named. */
  rows(): Row[] {
    return [...this.#watched.values()].map(({ vm, before, last, why }) => ({
      name: nameOf(vm),
      ...(last && { sample: last }),
      ...(before && last && { rates: ratesOf(before, last) }),
      ...(why !== undefined && { why }),
    }));
  }

  /** Whether each has told twice, or will not. */
  isWhole(): boolean {
    return [...this.#watched.values()].every(({ before, isOver }) => before !== undefined || isOver);
  }

  async close(): Promise<void> {
    for (const { leave } of this.#watched.values()) leave.abort(new Error('left'));
    await Promise.all(this.#running);
  }

  async #follow(one: Watched): Promise<void> {
    const { intervalMs, processes, changed } = this.#options;
    try {
      const state = stateOf(one.vm.status);
      if (state !== 'CREATED') {
        one.why = `it is ${state}`;
        return;
      }
      const guests = await (await this.#context.clients()).guests();
      const request = { uid: uidOf(one.vm), interval: durationFromMs(intervalMs), processes };
      for await (const sample of guests.statistics(request, { signal: one.leave.signal })) {
        if (one.last) one.before = one.last;
        one.last = sample;
        delete one.why;
        changed();
      }
    } catch (error) {
      if (one.leave.signal.aborted) return;
      one.why = error instanceof ConnectError ? error.rawMessage : errorMessage(error);
      delete one.last;
      delete one.before;
    } finally {
      one.isOver = true;
      changed();
    }
  }
}

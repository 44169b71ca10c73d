import { setTimeout as sleep } from 'node:timers/promises';
import type { FuzzTarget } from './target.ts';

const EVERY_MS = 100;
/** As long as any other caller waits for an answer. */
const ANSWER_MS = 20_000;

/** A caller of good manners, meanwhile: asks for its guest and for the list, and notes how long each took. */
export class Canary {
  readonly #target: FuzzTarget;
  readonly #ms: number[] = [];
  readonly failures: string[] = [];
  #stopped = false;
  readonly #done: Promise<void>;

  constructor(target: FuzzTarget) {
    this.#target = target;
    this.#done = this.#sing();
  }

  async #sing(): Promise<void> {
    const { host, guest } = this.#target;
    while (!this.#stopped) {
      await sleep(EVERY_MS);
      const began = performance.now();
      try {
        const options = { timeoutMs: ANSWER_MS };
        const { microvm } = await host.vms.getMicroVM({ uid: guest }, options);
        if (microvm?.status?.state !== 1) this.failures.push(`the guest is ${microvm?.status?.reason}`);
        await host.vms.listMicroVMs({}, options);
        this.#ms.push(performance.now() - began);
      } catch (error) {
        this.failures.push(String(error));
      }
    }
  }

  async stop(): Promise<{ count: number; medianMs: number; maxMs: number }> {
    this.#stopped = true;
    await this.#done;
    const sorted = this.#ms.toSorted((a, b) => a - b);
    return { count: sorted.length, medianMs: sorted[Math.floor(sorted.length / 2)] ?? 0, maxMs: sorted.at(-1) ?? 0 };
  }
}

import { AsyncLocalStorage } from 'node:async_hooks';
import type { Caller } from '../domain/caller.ts';

/**
 * Whose call the code that asks is working for. The services learn it so, and
 * no converter of a surface hands it on: one that forgot to would open the
 * house. Where it is lost there is none, and the services refuse.
 */
export class CurrentCaller {
  readonly #storage = new AsyncLocalStorage<Caller>();

  run<T>(caller: Caller, work: () => T): T {
    return this.#storage.run(caller, work);
  }

  /** What goes on by itself, when the call has long ended, is nobody's. */
  outside<T>(work: () => T): T {
    return this.#storage.exit(work);
  }

  /** Undefined outside of a call. */
  readonly get = (): Caller | undefined => this.#storage.getStore();
}

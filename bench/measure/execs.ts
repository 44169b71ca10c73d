import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Execed, Wanted } from './exec-watch.ts';

/** Milliseconds of the clock by which it tells. */
export const monotonic = (): number => Number(process.hrtime.bigint()) / 1e6;

/** Sees when VMMs begin to run: see `exec-watch.ts`. */
export class ExecWatch implements Disposable {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** @param directories - one of which the arguments of those name that are looked for: the host may have other VMMs */
  static async start(...directories: readonly string[]): Promise<ExecWatch> {
    const program = join(import.meta.dirname, 'exec-watch.ts');
    const child = fork(program, directories, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    await once(child, 'message');
    return new ExecWatch(child);
  }

  /** Looks from now on. @returns what was seen, once `count` have begun, by the name behind `guest=` */
  async look(count: number): Promise<{ readonly seen: Promise<ReadonlyMap<string, number>> }> {
    const looking = once(this.#child, 'message');
    this.#child.send({ count } satisfies Wanted);
    await looking;
    const seen = once(this.#child, 'message').then(
      ([found]) => new Map((found as readonly Execed[]).map(({ name, at }) => [name, at])),
    );
    return { seen };
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}

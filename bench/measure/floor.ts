import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { TestHost } from '../../test/support/daemon.ts';

/** A program of `bench/floor/`, in the network namespace of a daemon: it is asked and answers. */
export class Floor<Asked extends object> implements AsyncDisposable {
  readonly #child: ChildProcess;
  /** Rejects when it ends. */
  readonly #gone: Promise<never>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#gone = once(child, 'exit').then(([code]) => {
      throw new Error(`the floor ended with ${code}`);
    });
    this.#gone.catch(() => undefined); // who asks is told
  }

  static start<Asked extends object>(host: TestHost, script: string, ...args: readonly string[]): Floor<Asked> {
    const program = join(import.meta.dirname, '../floor', script);
    const child = spawn('nsenter', [...host.inside, process.execPath, program, ...args], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    return new Floor(child);
  }

  /** @throws Error with what went wrong there */
  async ask<T>(asked: Asked): Promise<T> {
    const answered = once(this.#child, 'message');
    this.#child.send(asked);
    const [{ value, error }] = (await Promise.race([answered, this.#gone])) as [{ value?: T; error?: string }];
    if (error !== undefined) throw new Error(`the floor: ${error}`);
    return value as T;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#gone.catch(() => undefined);
  }
}

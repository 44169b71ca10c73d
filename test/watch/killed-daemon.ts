import { request } from 'node:http';
import { join } from 'node:path';
import { Database } from '../../src/store/database.ts';
import { idleLayer } from '../faults/idle-kernel.ts';
import { TestHost } from '../support/daemon.ts';
import { writeLayout } from '../support/oci-layout.ts';
import type { HttpAnswer, Surface } from './ways.ts';

/** The real daemon, again and again killed and started over its state directory. */
export class KilledDaemon {
  readonly #host = new TestHost({ flags: ['--managed-network', 'none'] });
  /** Of a kernel that does nothing. */
  readonly image = `oci:${this.#host.images}/idle:v1`;
  #end = new AbortController();
  #life: Promise<Surface> | undefined;
  kills = 0;

  /** The daemon there is now, or the next one. */
  get life(): Promise<Surface> {
    if (!this.#life) throw new Error('It was never started');
    return this.#life;
  }

  async open(): Promise<void> {
    await writeLayout(join(this.#host.images, 'idle'), { v1: { layers: [idleLayer()] } });
    this.#life = this.#begin();
    await this.#life;
  }

  /** `kill -9`, whatever it is doing, and the next. */
  async kill(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<Surface>();
    promise.catch(() => undefined); // told to whoever asks
    this.#life = promise;
    this.kills++;
    this.#end.abort(new Error('the daemon is killed'));
    await this.#host.kill9();
    try {
      resolve(await this.#begin());
    } catch (error) {
      reject(error);
      throw error;
    }
  }

  /** Ends it as a service manager would. @returns what it left */
  async database(): Promise<Database> {
    this.#end.abort(new Error('the daemon ends'));
    await this.#host.stop();
    return new Database(join(this.#host.state, 'flintlock.db'));
  }

  async close(): Promise<void> {
    this.#end.abort(new Error('all ends'));
    await this.#host.close();
  }

  async #begin(): Promise<Surface> {
    const host = this.#host;
    const end = new AbortController();
    this.#end = end;
    await host.start('--http-endpoint', `unix://${host.run}/http.sock`);
    return {
      vms: host.vms,
      epoch: await epochOf(host),
      ended: end.signal,
      fetch: (path, headers, signal) => fetched(join(host.run, 'http.sock'), path, headers, signal),
    };
  }
}

/** The first cursor of a watch names it. */
async function epochOf({ vms }: TestHost): Promise<string> {
  const visit = new AbortController();
  try {
    for await (const { cursor } of vms.watchMicroVMs({}, { signal: visit.signal }))
      if (cursor !== '') return cursor.split('.')[0] ?? '';
  } finally {
    visit.abort();
  }
  throw new Error('The watch ended without a cursor');
}

/** Over a unix socket. */
async function fetched(socketPath: string, path: string, headers: Record<string, string>, signal: AbortSignal) {
  return new Promise<HttpAnswer>((done, fail) => {
    const asked = request({ socketPath, path, headers, signal }, (answer) =>
      done({ status: answer.statusCode ?? 0, body: answer }),
    );
    asked.on('error', fail);
    asked.end();
  });
}

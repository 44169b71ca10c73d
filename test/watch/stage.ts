import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@connectrpc/connect';
import { type Api, createApi } from '../../src/api/api.ts';
import { formatEndpoint } from '../../src/api/endpoint.ts';
import { MicroVMService } from '../../src/gen/flintlock/microvm/v1/microvms_pb.ts';
import { clock } from '../../src/host/clock.ts';
import type { Store } from '../../src/ports/store.ts';
import { type WatchNeeds, watch } from '../../src/service/watch.ts';
import { Database } from '../../src/store/database.ts';
import { createStore } from '../../src/store/vms.ts';
import { transportTo } from '../support/api.ts';
import { fakeServices } from '../support/fake-services.ts';
import { memoryLog } from '../support/memory-log.ts';
import type { HttpAnswer, Surface } from './ways.ts';

/** In memory where it can be: thousands of commits, each waiting for a disk, would prove the disk. */
const SCRATCH = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** One daemon from its start to its end: database, watch and servers are the real ones. */
export interface Life extends Surface {
  readonly database: Database;
  readonly store: Store;
  readonly needs: WatchNeeds;
  readonly api: Api;
}

/** Over TCP. */
async function fetched(base: string, path: string, headers: Record<string, string>, signal: AbortSignal) {
  const { status, body } = await fetch(`${base}${path}`, { headers, signal });
  if (!body) throw new Error(`the answer ${status} has no body`);
  return { status, body } satisfies HttpAnswer;
}

/** A state directory, and the daemons that come and go over it. */
export class Stage {
  readonly log = memoryLog();
  readonly #directory = mkdtempSync(join(SCRATCH, 'flintlock-watch-'));
  #end = new AbortController();
  #life: Promise<Life> = this.#begin();

  /** The daemon there is now, or the next one. */
  get life(): Promise<Life> {
    return this.#life;
  }

  /** Cuts every stream, and begins anew with what is on the disk. */
  async restart(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<Life>();
    const before = await this.#life;
    this.#life = promise;
    await this.#stop(before);
    resolve(await this.#begin());
  }

  async close(): Promise<void> {
    await this.#stop(await this.#life);
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #stop({ api, database }: Life): Promise<void> {
    this.#end.abort(new Error('the daemon ends'));
    await api.stop();
    database.close();
  }

  async #begin(): Promise<Life> {
    const end = new AbortController();
    this.#end = end;
    const { log } = this;
    const database = new Database(join(this.#directory, 'f.db'));
    const store = createStore(database, { clock, log, newEpoch: () => 'epoch' });
    const needs: WatchNeeds = {
      store,
      clock,
      runDirectory: '/run/fl',
      onChange: (listener) => store.onEvent(listener),
      running: () => undefined,
      progress: () => undefined,
    };
    const services = fakeServices({ watch: (request, signal) => watch(needs, request, signal) });
    const api = createApi({ services, log, clock, ready: () => undefined });
    const grpc = await api.listenGrpc({ kind: 'tcp', host: '127.0.0.1', port: 0 });
    const http = formatEndpoint(await api.listenHttp({ kind: 'tcp', host: '127.0.0.1', port: 0 }));
    const vms = createClient(MicroVMService, transportTo(grpc));
    return {
      ...{ database, store, needs, api, vms, epoch: store.cursor().epoch, ended: end.signal },
      fetch: (path, headers, signal) => fetched(`http://${http}`, path, headers, signal),
    };
  }
}

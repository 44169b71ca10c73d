import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import {
  MicroVMSpec_RestartPolicy,
  MicroVMSpecSchema,
  MicroVMStatus_MicroVMState,
} from '../../src/gen/types/microvm_pb.ts';
import { demoSpec, type HostOptions, type SpecInit, type StateName, TestHost } from '../../test/support/daemon.ts';
import { parseExposition } from '../../test/support/prometheus.ts';
import type { Held, Lateness, Question } from '../probe.ts';

const PROBE = join(import.meta.dirname, '../probe.ts');
export const STUB = join(import.meta.dirname, '../stub/qemu');
/** Nothing that works takes so long, on the slowest machine that anybody would measure. */
const SEEN_MS = 300_000;

export interface LabOptions {
  /** Stub VMMs instead of QEMU: see `stub/qemu`. */
  readonly stub?: boolean;
  readonly accel?: 'tcg' | 'kvm';
  readonly flags?: readonly string[];
  /** A host on which more is there than here. */
  readonly host?: Pick<HostOptions, 'env' | 'ownMounts' | 'prepare'>;
}

/** A daemon that is measured, in a network namespace and directories of its own. */
export class Lab {
  readonly host: TestHost;
  readonly #watcher: Watcher;
  #count = 0;

  private constructor(host: TestHost) {
    this.host = host;
    this.#watcher = new Watcher(host);
  }

  static async start({ stub = false, accel = 'tcg', flags = [], host: options = {} }: LabOptions = {}): Promise<Lab> {
    const host: TestHost = new TestHost({
      ...options,
      flags: [
        // Room for a crowd.
        ...['--managed-network', '10.64.0.0/16', '--qemu-accel', accel, '--max-memory', 'none', '--max-disk', 'none'],
        ...(stub ? ['--qemu-bin', STUB] : []),
        ...flags,
      ],
    });
    try {
      host.env = { NODE_OPTIONS: `--import=${PROBE}`, FLINTLOCK_BENCH_PROBE: join(host.directory, 'probe.sock') };
      await host.start('--http-endpoint', `unix://${host.run}/http.sock`);
      return new Lab(host);
    } catch (error) {
      await host.close();
      throw error;
    }
  }

  /** The next daemon on what this one leaves; the watch goes on with it. */
  async startAgain(): Promise<void> {
    await this.host.start('--http-endpoint', `unix://${this.host.run}/http.sock`);
  }

  /** A name that no other has. */
  id(): string {
    return `bench-${++this.#count}`;
  }

  /** Accepted, not made. @returns its uid */
  async create(change: Partial<SpecInit> = {}): Promise<string> {
    const spec = demoSpec(this.id(), { restartPolicy: MicroVMSpec_RestartPolicy.NEVER, ...change });
    const { microvm } = await this.host.vms.createMicroVM({ microvm: create(MicroVMSpecSchema, spec) });
    const uid = microvm?.spec?.uid;
    if (uid === undefined) throw new Error('the answer has no microVM');
    return uid;
  }

  async delete(uid: string): Promise<void> {
    await this.host.vms.deleteMicroVM({ uid });
  }

  /** Until a watcher is told so. @returns when, by `performance.now()` */
  seen(uid: string, state: StateName | 'GONE'): Promise<number> {
    return this.#watcher.seen(uid, state);
  }

  /** @throws Error with the reason where it comes to FAILED instead */
  async created(change: Partial<SpecInit> = {}): Promise<string> {
    const uid = await this.create(change);
    await this.seen(uid, 'CREATED');
    return uid;
  }

  async gone(uid: string): Promise<number> {
    await this.delete(uid);
    return this.seen(uid, 'GONE');
  }

  /** The value of a series of the daemon's metrics; 0 where there is none. */
  async metrics(): Promise<(series: string) => number> {
    const { status, text } = await this.host.http('GET', '/metrics');
    if (status !== 200) throw new Error(`/metrics answers ${status}`);
    const { values } = parseExposition(text);
    return (series) => values.get(series) ?? 0;
  }

  /** Forgets how late the loop was. */
  async resetLateness(): Promise<void> {
    await this.#ask('reset');
  }
  async lateness(): Promise<Lateness> {
    return (await this.#ask('lateness')) as Lateness;
  }
  async held(): Promise<Held> {
    return (await this.#ask('held')) as Held;
  }

  #ask(question: Question): Promise<object> {
    return new Promise((done, fail) => {
      const socket = connect(join(this.host.directory, 'probe.sock'));
      let text = '';
      socket.on('error', fail);
      socket.on('data', (data: Buffer) => {
        text += data.toString();
      });
      socket.on('end', () => done(JSON.parse(text) as object));
      socket.write(question);
    });
  }

  /** The process of a microVM that runs, and its command line. @throws Error where there is none */
  vmm(uid: string): { readonly pid: number; readonly argv: readonly string[] } {
    const [pid] = this.host.vmms(uid);
    if (pid === undefined) throw new Error(`no VMM of ${uid} runs`);
    return { pid, argv: readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1) };
  }

  async close(): Promise<void> {
    this.#watcher.close();
    await this.host.close();
  }
}

const STATES = new Map<number, string>(
  Object.entries(MicroVMStatus_MicroVMState).map(([name, number]) => [Number(number), name]),
);
type Seen = { readonly state: string; readonly words: string; readonly at: number };

/** Follows all microVMs, over restarts of the daemon: one call for as many as there are. */
class Watcher {
  readonly #host: TestHost;
  readonly #end = new AbortController();
  readonly #now = new Map<string, Seen>();
  readonly #waiting = new Map<string, ((seen: Seen) => void)[]>();
  /** Rejects where it can follow no more. */
  readonly #failed: Promise<never>;

  constructor(host: TestHost) {
    this.#host = host;
    const { promise, reject } = Promise.withResolvers<never>();
    this.#failed = promise;
    promise.catch(() => undefined); // who waits is told
    this.#follow().catch(reject);
  }

  async seen(uid: string, state: StateName | 'GONE'): Promise<number> {
    const late = AbortSignal.timeout(SEEN_MS);
    for (;;) {
      const now = this.#now.get(uid);
      if (now?.state === state) return now.at;
      if (now && state !== 'FAILED' && state !== 'GONE' && ['FAILED', 'GONE'].includes(now.state))
        throw new Error(`${uid} is ${now.state}, not ${state}: ${now.words}`);
      await Promise.race([this.#next(uid, state, late), this.#failed]);
    }
  }

  close(): void {
    this.#end.abort();
  }

  #next(uid: string, state: string, late: AbortSignal): Promise<void> {
    return new Promise((done, fail) => {
      const onLate = (): void => fail(new Error(`${uid} is not ${state} after ${SEEN_MS / 1_000} s`));
      late.addEventListener('abort', onLate, { once: true });
      const told = (): void => {
        late.removeEventListener('abort', onLate);
        done();
      };
      this.#waiting.set(uid, [...(this.#waiting.get(uid) ?? []), told]);
    });
  }

  async #follow(): Promise<void> {
    let cursor = '';
    while (!this.#end.signal.aborted) {
      try {
        for await (const event of this.#host.vms.watchMicroVMs({ cursor }, { signal: this.#end.signal })) {
          cursor = event.cursor || cursor;
          const uid = event.microvm?.spec?.uid ?? '';
          const status = event.microvm?.status;
          const state = event.type === 3 ? 'GONE' : (STATES.get(status?.state ?? -1) ?? '');
          this.#tell(uid, { state, words: `${status?.reason}: ${status?.message}`, at: performance.now() });
        }
      } catch (error) {
        // The daemon is started anew.
        if (
          ![Code.Unavailable, Code.Canceled, Code.Aborted, Code.Internal, Code.Unknown].includes(
            ConnectError.from(error).code,
          )
        )
          throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  #tell(uid: string, seen: Seen): void {
    if (this.#now.get(uid)?.state === seen.state) return;
    this.#now.set(uid, seen);
    const waiting = this.#waiting.get(uid) ?? [];
    this.#waiting.delete(uid);
    for (const one of waiting) one(seen);
  }
}

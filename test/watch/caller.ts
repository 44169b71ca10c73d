import { create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { MicroVMSpecSchema, MicroVMSpec_RestartPolicy as Policy } from '../../src/gen/types/microvm_pb.ts';
import type { Database } from '../../src/store/database.ts';
import { patiently } from '../support/patiently.ts';
import type { KilledDaemon } from './killed-daemon.ts';
import { numbers } from './writer.ts';

const PATIENCE_MS = 60_000;
/** The labels of each change name it. */
const CHANGES_EACH = 12;

/** Makes microVMs over the API, changes their labels and deletes them, and asks again where an answer was lost. */
export class Caller {
  readonly #daemon: KilledDaemon;
  readonly #name: string;
  readonly #next: (below: number) => number;
  /** Every change that was acknowledged: the microVM, and the label that names it. */
  readonly #acknowledged = new Set<string>();
  #made = 0;
  changes = 0;

  constructor(daemon: KilledDaemon, name: string, seed: number) {
    this.#daemon = daemon;
    this.#name = name;
    this.#next = numbers(seed);
  }

  /** One microVM after the other, until so much was acknowledged. */
  async run(changes: number, signal: AbortSignal): Promise<void> {
    while (this.changes < changes) {
      const uid = await this.#create(signal);
      for (let i = 0; i < CHANGES_EACH; i++) await this.#change(uid, String(i), signal);
      await this.#delete(uid, signal);
    }
  }

  /** Acknowledged changes that the database never held. */
  lost(database: Database): string[] {
    const rows = database.sql.prepare('SELECT record FROM events ORDER BY seq').iterate();
    const held = new Set<string>();
    for (const row of rows) {
      const { uid, spec } = JSON.parse(String(row.record)) as {
        uid: string;
        spec: { labels: Record<string, string> };
      };
      held.add(`${uid} ${spec.labels.change}`);
    }
    return [...this.#acknowledged]
      .filter((change) => !held.has(change))
      .map((change) => `lost: ${change} was acknowledged`);
  }

  async #create(signal: AbortSignal): Promise<string> {
    const id = `${this.#name}-${this.#made++}`;
    const microvm = create(MicroVMSpecSchema, {
      ...{ id, namespace: this.#next(2) === 0 ? 'even' : 'odd', vcpu: 1, memoryInMb: 32 },
      ...{ labels: this.#labels('new'), restartPolicy: Policy.ON_FAILURE },
      kernel: { image: this.#daemon.image },
      volumes: [{ id: 'root', isRoot: true, source: { containerSource: this.#daemon.image } }],
    });
    const answer = await this.#ask(`create ${id}`, signal, ({ vms }) =>
      vms.createMicroVM({ microvm, idempotencyKey: id }, { signal }),
    );
    const uid = answer.microvm?.spec?.uid;
    if (uid === undefined) throw new Error(`create ${id}: the answer has no uid`);
    this.#acknowledge(uid, 'new');
    return uid;
  }

  async #change(uid: string, change: string, signal: AbortSignal): Promise<void> {
    const microvm = create(MicroVMSpecSchema, { uid, labels: this.#labels(change) });
    await this.#ask(`change ${uid}`, signal, ({ vms }) => vms.updateMicroVM({ microvm }, { signal }));
    this.#acknowledge(uid, change);
  }

  async #delete(uid: string, signal: AbortSignal): Promise<void> {
    await this.#ask(`delete ${uid}`, signal, async ({ vms }) => {
      try {
        await vms.deleteMicroVM({ uid }, { signal });
        // Looks as a caller does who waits.
        await vms.getMicroVM({ uid }, { signal });
      } catch (error) {
        if (ConnectError.from(error).code !== Code.NotFound) throw error;
      }
      return true;
    });
    this.changes++;
  }

  #acknowledge(uid: string, change: string): void {
    this.#acknowledged.add(`${uid} ${change}`);
    this.changes++;
  }

  #labels(change: string): Record<string, string> {
    return { change, tier: ['a', 'b', 'c'][this.#next(3)] ?? '' };
  }

  async #ask<T>(
    what: string,
    signal: AbortSignal,
    ask: (surface: Awaited<KilledDaemon['life']>) => Promise<T>,
  ): Promise<T> {
    const answer = await patiently(what, PATIENCE_MS, async () => {
      signal.throwIfAborted();
      return ask(await this.#daemon.life);
    });
    if (answer === undefined) throw new Error(`${what}: the disk is full`);
    return answer;
  }
}

import { setImmediate as turn } from 'node:timers/promises';
import type { Database } from '../../src/store/database.ts';
import { sampleRecord } from '../support/fake-services.ts';
import { Stage } from './stage.ts';
import { type Habit, habitOf, Watcher } from './watcher.ts';
import { Expired, WAYS, type Way } from './ways.ts';
import { Writer } from './writer.ts';

export interface ProofOptions {
  readonly watchers: number;
  /** How many of them watch over gRPC, and as many by server-sent events; the others at the service. */
  readonly overEach: number;
  readonly changes: number;
  /** How often the daemon ends and begins anew meanwhile. */
  readonly restarts: number;
  readonly seed: number;
  /** The whole must be over by then. */
  readonly timeoutMs: number;
}

export interface ProofReport {
  readonly changes: number;
  readonly rolledBack: number;
  /** Events that all watchers were told together. */
  readonly told: number;
  /** How often watchers came, the first time included. */
  readonly comings: number;
  /** What any of them was not told, was told twice, in another order, or though it never was. */
  readonly faults: readonly string[];
}

/** Many watchers of many kinds, each compared in the end with what the database holds. */
export async function proveWatch(options: ProofOptions): Promise<ProofReport> {
  const stage = new Stage();
  try {
    const { watchers: count, overEach, changes, restarts, seed } = options;
    const limit = AbortSignal.timeout(options.timeoutMs);
    const writer = new Writer(stage, seed);
    const wayOf = (i: number): Habit['way'] => (i < overEach ? 'grpc' : i < 2 * overEach ? 'http' : 'service');
    const watchers = Array.from({ length: count }, (_, i) => new Watcher(habitOf(i, seed, wayOf(i))));
    let last: number | undefined;
    const runs: Promise<void>[] = [];
    // They come one after the other while changes go on.
    for (const [i, watcher] of watchers.entries()) {
      const run = watcher.run(stage, () => last, limit);
      run.catch(() => undefined); // told below
      runs.push(run);
      await writer.until(Math.floor((i * changes) / (2 * count)));
    }
    for (let i = 1; i <= restarts; i++) {
      await writer.until(Math.floor(changes / 2 + (i * changes) / (2 * (restarts + 1))));
      await stage.restart();
    }
    await writer.until(changes - 1);
    await writer.last((seq) => {
      last = seq;
    });
    const ends = await Promise.allSettled(runs);
    const { database } = await stage.life;
    const { rolledBack } = writer;
    const errors = stage.log.lines.filter(({ level }) => level === 'error').map((line) => JSON.stringify(line));
    return report({ watchers, ends, last, database, rolledBack, more: errors });
  } finally {
    await stage.close();
  }
}

/** What they were told against what the database holds. */
export function report(all: {
  readonly watchers: readonly Watcher[];
  readonly ends: readonly PromiseSettledResult<void>[];
  readonly last: number | undefined;
  readonly database: Database;
  readonly rolledBack: number;
  readonly more: readonly string[];
}): ProofReport {
  const { watchers, ends, last, database, rolledBack, more } = all;
  const faults = watchers.flatMap((watcher, i) => {
    const end = ends[i];
    const stuck = end?.status === 'rejected' ? [`ended at ${watcher.seq} of ${last}: ${end.reason}`] : [];
    const { way, begins, slowness, leavesAfter } = watcher.habit;
    const who = `watcher ${i} (${way}, ${begins}, slowness ${slowness}, leaves after ${leavesAfter})`;
    return [...stuck, ...watcher.faults(database)].map((text) => `${who}: ${text}`);
  });
  return {
    changes: last ?? 0,
    rolledBack,
    told: watchers.reduce((sum, { events }) => sum + events, 0),
    comings: watchers.reduce((sum, { comings }) => sum + comings, 0),
    faults: [...faults, ...more],
  };
}

export interface SleeperReport {
  readonly way: string;
  /** Bytes that it was still told when it read on: what was held for it on the way. */
  readonly heldBytes: number;
  readonly writtenBytes: number;
  readonly isTold: boolean;
  /** What it was told before it was told that it is too late has no gap. */
  readonly hasGap: boolean;
}

const LARGE = Buffer.alloc(24_576, 1).toString('base64');
const LARGE_CHANGES = 1_500;

/** Readers that stop reading while far more is written than they can be held, and that is forgotten. */
export async function proveSleepers(ways: readonly ('grpc' | 'http')[], signal: AbortSignal): Promise<SleeperReport[]> {
  const stage = new Stage();
  try {
    const life = await stage.life;
    const { store, database } = life;
    const vm = sampleRecord({ version: 1 });
    const large = {
      ...vm,
      spec: { ...vm.spec, interfaces: [], metadataRef: { generation: 1, bytes: LARGE.length + 1 } },
    };
    store.create({ vm: large, metadata: { x: LARGE }, uniqueId: true });
    const asked = { namespace: '', labelSelector: '', cursor: 'epoch.1' };
    const sleepers = ways.map((way) => {
      const events = (WAYS[way] as Way)(life, asked, signal)[Symbol.asyncIterator]();
      return { way, events };
    });
    for (const { events } of sleepers) await events.next(); // it watches
    for (let i = 0; i < LARGE_CHANGES; i += 100) {
      database.transact(() => {
        for (let k = 0; k < 100; k++) store.update(vm.uid, (old) => ({ ...old, retry: old.retry + 1 }));
      });
      for (let turns = 0; turns < 20; turns++) await turn(); // whoever would push now, does
    }
    store.purge(0, Date.now() + 60_000);
    return await Promise.all(
      sleepers.map(async ({ way, events }) => {
        let heldBytes = 0;
        let hasGap = false;
        let version = 1;
        try {
          for (let next = await events.next(); !next.done; next = await events.next()) {
            heldBytes += next.value.bytes;
            if (next.value.type === 'BOOKMARK') continue;
            hasGap ||= next.value.version !== version + 1;
            version = next.value.version;
          }
        } catch (error) {
          if (!(error instanceof Expired)) throw error;
          return { way, heldBytes, writtenBytes: LARGE_CHANGES * LARGE.length, isTold: true, hasGap };
        }
        return { way, heldBytes, writtenBytes: LARGE_CHANGES * LARGE.length, isTold: false, hasGap };
      }),
    );
  } finally {
    await stage.close();
  }
}

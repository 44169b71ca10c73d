import { Code, ConnectError } from '@connectrpc/connect';
import { poll } from '../support/daemon.ts';
import { Caller } from './caller.ts';
import { KilledDaemon } from './killed-daemon.ts';
import { type ProofReport, report } from './proof.ts';
import { habitOf, seqOf, Watcher } from './watcher.ts';

export interface KillsOptions {
  /** Half of them over gRPC, half by server-sent events. */
  readonly watchers: number;
  /** Acknowledged ones, by callers that ask at the same time. */
  readonly changes: number;
  readonly callers: number;
  /** How often the daemon is killed meanwhile. */
  readonly kills: number;
  readonly seed: number;
  readonly timeoutMs: number;
}

/** The same as `proveWatch`, of the real daemon that is killed while it changes, starts and deletes microVMs. */
export async function proveKills(options: KillsOptions): Promise<ProofReport & { readonly kills: number }> {
  const daemon = new KilledDaemon();
  try {
    await daemon.open();
    const { watchers: count, callers: callersCount, changes, kills, seed } = options;
    const limit = AbortSignal.timeout(options.timeoutMs);
    let last: number | undefined;
    const watchers = Array.from(
      { length: count },
      (_, i) => new Watcher(habitOf(i, seed, i % 2 === 0 ? 'grpc' : 'http')),
    );
    const runs = watchers.map((watcher) => watcher.run(daemon, () => last, limit));
    for (const run of runs) run.catch(() => undefined); // told below
    const callers = Array.from({ length: callersCount }, (_, i) => new Caller(daemon, `c${i}`, seed * 100 + i));
    const acknowledged = (): number => callers.reduce((sum, caller) => sum + caller.changes, 0);
    const asking = Promise.all(callers.map((caller) => caller.run(changes / callersCount, limit)));
    asking.catch(() => undefined); // told below
    for (let i = 1; i <= kills; i++) {
      await Promise.race([asking, reached(acknowledged, (i * changes) / (kills + 1), limit)]);
      await daemon.kill();
    }
    await asking;
    last = await newestWhenQuiet(daemon);
    await daemon.kill(); // whoever has all by now learns that it is so
    const ends = await Promise.allSettled(runs);
    const database = await daemon.database();
    try {
      const lost = callers.flatMap((caller) => caller.lost(database));
      return { ...report({ watchers, ends, last, database, rolledBack: 0, more: lost }), kills: daemon.kills };
    } finally {
      database.close();
    }
  } finally {
    await daemon.close();
  }
}

async function reached(count: () => number, goal: number, signal: AbortSignal): Promise<void> {
  await poll(`${goal} changes are acknowledged`, 120_000, async () => {
    signal.throwIfAborted();
    return count() >= goal ? { is: undefined } : { not: `${count()} are` };
  });
}

/** @returns the number of the last change, once all microVMs are gone */
async function newestWhenQuiet(daemon: KilledDaemon): Promise<number> {
  return poll('all microVMs are gone', 60_000, async () => {
    const { vms } = await daemon.life;
    const visit = new AbortController();
    try {
      let listed = 0;
      for await (const { cursor } of vms.watchMicroVMs({}, { signal: visit.signal })) {
        if (cursor !== '') return listed === 0 ? { is: seqOf(cursor) } : { not: `${listed} are there` };
        listed++;
      }
      return { not: 'the watch ended' };
    } catch (error) {
      if (ConnectError.from(error).code !== Code.Unavailable) throw error;
      return { not: 'the daemon is away' };
    } finally {
      visit.abort();
    }
  });
}

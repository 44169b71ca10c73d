import type { VmEvent } from '../domain/event.ts';
import { Fault } from '../domain/fault.ts';
import type { MicroVm, StateName, Uid } from '../domain/microvm.ts';
import { METADATA_PORTS, nextNumber } from '../domain/next-number.ts';
import { gone } from '../domain/transitions.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Query, Store } from '../ports/store.ts';
import { createAllocations } from './allocations.ts';
import type { Database } from './database.ts';
import { createMetadata } from './metadata-table.ts';
import { createPromises } from './promises.ts';
import { createQueries } from './query-sql.ts';

/** Events are kept for a time, but never more than this many (design: 24 h or 100,000). */
const MAX_EVENTS = 100_000;

/**
 * The records in SQLite.
 * @param newEpoch - makes the epoch of a new database
 */
export function createStore(db: Database, deps: { clock: Clock; log: Log; newEpoch: () => string }): Store {
  const { clock, log } = deps;
  const insertVm = db.sql.prepare('INSERT INTO vms (uid, namespace, id, version, record) VALUES (?, ?, ?, ?, ?)');
  const writeVm = db.sql.prepare('UPDATE vms SET version = ?, gone_at = ?, record = ? WHERE uid = ?');
  const readVm = db.sql.prepare('SELECT record FROM vms WHERE uid = ?');
  const everyUid = db.sql.prepare('SELECT uid FROM vms ORDER BY uid');
  const readVersion = db.sql.prepare('SELECT version FROM vms WHERE uid = ?');
  const findVms = db.sql.prepare(
    'SELECT record FROM vms WHERE namespace = ? AND id = ? AND gone_at IS NULL ORDER BY uid',
  );
  const findAll = db.sql.prepare('SELECT record FROM vms WHERE namespace = ? AND id = ? ORDER BY uid');
  const countVms = db.sql.prepare('SELECT count(*) AS n FROM vms WHERE gone_at IS NULL');
  // A row that cannot be read is left out, as everywhere.
  const tallyVms = db.sql.prepare(
    `SELECT record ->> '$.state.is' AS state, coalesce(record ->> '$.made.provider', record ->> '$.allocation.provider', record ->> '$.spec.provider', '') AS provider,
       count(*) AS n
     FROM vms WHERE gone_at IS NULL AND CASE WHEN json_valid(record) THEN record ->> '$.state.is' END IS NOT NULL
     GROUP BY state, provider`,
  );
  const insertLabel = db.sql.prepare('INSERT INTO labels (uid, key, value) VALUES (?, ?, ?)');
  const clearLabels = db.sql.prepare('DELETE FROM labels WHERE uid = ?');
  const insertEvent = db.sql.prepare('INSERT INTO events (type, record, at, labels_before) VALUES (?, ?, ?, ?)');
  const readEvents = db.sql.prepare(
    'SELECT seq, type, record, at, labels_before FROM events WHERE seq > ? ORDER BY seq',
  );
  const newestEvent = db.sql.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'events'");
  const oldestEvent = db.sql.prepare('SELECT min(seq) AS seq FROM events');
  const setMeta = db.sql.prepare(
    'INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
  );
  const getMeta = db.sql.prepare('SELECT value FROM meta WHERE key = ?');
  const records = createQueries(db.sql, 'record');
  const columns = createQueries(db.sql, 'uid, version, octet_length(record) AS bytes');
  const promises = createPromises(db);
  const metadata = createMetadata(db, log);
  const getAnswer = db.sql.prepare('SELECT digest, record, at FROM answers WHERE key = ?');
  const addAnswer = db.sql.prepare('INSERT INTO answers (key, digest, uid, record, at) VALUES (?, ?, ?, ?, ?)');
  const listeners = new Set<(uids: ReadonlySet<Uid>) => void>();
  /** Whose events are not told yet; those of a transaction that was rolled back may be among them. */
  let untold = new Set<Uid>();
  const notify = (): void => {
    const uids = untold;
    untold = new Set();
    for (const listener of listeners)
      try {
        listener(uids);
      } catch (error) {
        // What it was told of is stored: its bug must not fail the writer.
        log.error('a listener for events failed', { error });
      }
  };

  const recall = (key: string): string | undefined => {
    const row = getMeta.get(key);
    return row && String(row.value);
  };
  const epoch =
    recall('epoch') ??
    db.transact(() => {
      const made = deps.newEpoch();
      setMeta.run('epoch', made);
      return made;
    });

  /** One row that cannot be read is told and left out: it never stops the others. */
  const parse = (row: Record<string, unknown>): MicroVm[] => {
    try {
      const vm: unknown = JSON.parse(String(row.record));
      if (!isRecord(vm)) throw new TypeError('it is no record of a microVM');
      return [vm];
    } catch (error) {
      log.error('a stored record cannot be read', { record: String(row.record).slice(0, 200), error });
      return [];
    }
  };
  const allocations = createAllocations(db, (row) => parse(row)[0]);
  const newestSeq = (): number => Number(newestEvent.get()?.seq ?? 0);
  const event = (type: VmEvent['type'], uid: Uid, record: string, labelsBefore?: MicroVm['spec']['labels']): void => {
    insertEvent.run(type, record, clock.now(), labelsBefore ? JSON.stringify(labelsBefore) : null);
    untold.add(uid);
    db.afterCommit(notify);
  };
  const writeLabels = (vm: MicroVm): void => {
    clearLabels.run(vm.uid);
    for (const [key, value] of Object.entries(vm.spec.labels)) insertLabel.run(vm.uid, key, value);
  };
  /** @returns the record as it is stored */
  const write = (vm: MicroVm, before: MicroVm): string => {
    const record = JSON.stringify(vm);
    writeVm.run(vm.version, vm.goneAt ?? null, record, vm.uid);
    if (vm.goneAt === undefined) promises.keep(vm, before);
    else promises.drop(vm.uid);
    return record;
  };
  // Nothing comes between the reading and the writing: calls are synchronous, and the database is this process's alone.
  const update: Store['update'] = (uid, change) => {
    const row = readVm.get(uid);
    const old = row && parse(row)[0];
    if (!old || old.goneAt !== undefined) return old;
    const changed = change(old);
    if (!changed) return old;
    const next = { ...changed, version: old.version + 1 };
    db.transact(() => {
      if (next.spec.metadataRef?.generation !== old.spec.metadataRef?.generation)
        metadata.past(uid, old.spec, newestSeq());
      const record = write(next, old);
      const hasNewLabels = next.spec.labels !== old.spec.labels;
      if (hasNewLabels) writeLabels(next);
      event('MODIFIED', uid, record, hasNewLabels ? old.spec.labels : undefined);
    });
    return next;
  };

  db.transact(() => {
    for (const vm of promises.missing.all().flatMap(parse)) promises.keep(vm);
    allocations.complete();
  });

  return {
    create: ({ vm, metadata: given = {}, uniqueId, knows }) =>
      db.transact(() => {
        const { namespace, id } = vm.spec;
        const [same] = uniqueId ? findVms.all(namespace, id).flatMap(parse) : [];
        if (same || (uniqueId && findVms.get(namespace, id)))
          throw new Fault(
            'exists',
            `Cannot create microVM ${namespace}/${id}: it exists already${same ? ` as ${same.uid}` : ''}; delete it first or choose another id`,
          );
        const record = JSON.stringify(vm);
        insertVm.run(vm.uid, namespace, id, vm.version, record);
        metadata.keep(vm, given);
        promises.keep(vm);
        writeLabels(vm);
        allocations.take(vm, knows);
        event('ADDED', vm.uid, record);
      }),

    get(uid) {
      const row = readVm.get(uid);
      return row && parse(row)[0];
    },
    metadataOf: (vm) => metadata.of(vm),
    keepMetadata: (vm, given) => void db.transact(() => metadata.keep(vm, given)),
    uids: () => everyUid.all().map((row) => String(row.uid) as Uid), // only `create` writes it
    versionOf(uid) {
      const row = readVersion.get(uid);
      return row && Number(row.version);
    },
    find: (namespace, id, gone = false) => (gone ? findAll : findVms).all(namespace, id).flatMap(parse),
    count: () => Number(countVms.get()?.n),
    tally: () =>
      tallyVms.all().map(({ state, provider, n }) => ({
        state: String(state) as StateName,
        provider: String(provider),
        count: Number(n),
      })),
    promised: () => promises.all(),

    list: ({ limit, maxBytes, ...asked }: Query) => firstOf(records(asked), parse, bytesOf, { limit, maxBytes }),
    *rows(asked) {
      // Only `create` writes uids.
      for (const { uid, version, bytes } of columns(asked))
        yield { uid: String(uid) as Uid, version: Number(version), bytes: Number(bytes) };
    },

    update,

    nextMetadataPort: (uid) =>
      db.transact(() => {
        const before = recall('last-metadata-port');
        const next = nextNumber(
          METADATA_PORTS,
          { has: (port) => allocations.has('metadata-port', port) },
          before === undefined ? undefined : Number(before),
        );
        if (next === undefined) throw new Fault('full', 'Every port of the metadata service is taken: delete microVMs');
        return update(uid, (vm) => {
          if (vm.allocation.metadataPort === undefined) return undefined;
          allocations.move('metadata-port', String(vm.allocation.metadataPort), String(next), uid);
          setMeta.run('last-metadata-port', String(next));
          return { ...vm, allocation: { ...vm.allocation, metadataPort: next } };
        });
      }),

    gone: (uid, consoleTail = '') =>
      void db.transact(() => {
        const row = readVm.get(uid);
        const old = row && parse(row)[0];
        if (!old || old.goneAt !== undefined) return;
        const next: MicroVm = { ...gone(old, consoleTail, clock.now()), version: old.version + 1 };
        const record = write(next, old);
        allocations.free(uid);
        event('DELETED', uid, record);
        metadata.past(uid, next.spec, newestSeq());
      }),

    answered(key) {
      const row = getAnswer.get(key);
      if (!row) return undefined;
      const vm = parse(row)[0];
      if (!vm) throw new Fault('tool', 'Cannot read the answer that is stored for this idempotency key');
      return { digest: String(row.digest), vm, at: Number(row.at) };
    },
    answer: (key, { digest, vm, at }) =>
      void db.transact(() => addAnswer.run(key, digest, vm.uid, JSON.stringify(vm), at)),

    purge: (goneBefore, eventsBefore) =>
      void db.transact(() => {
        db.sql.prepare('DELETE FROM vms WHERE gone_at < ?').run(goneBefore);
        db.sql.prepare('DELETE FROM answers WHERE at < ?').run(eventsBefore);
        const newest = newestSeq();
        // From the beginning, without a gap, even where the clock was set back: a gap would be missed unseen.
        const old = db.sql.prepare('SELECT max(seq) AS seq FROM events WHERE at < ?').get(eventsBefore)?.seq;
        db.sql.prepare('DELETE FROM events WHERE seq <= ?').run(Math.max(Number(old ?? 0), newest - MAX_EVENTS));
        metadata.purge(Number(oldestEvent.get()?.seq ?? newest + 1));
      }),

    holder: allocations.holder,
    isAllocated: allocations.has,
    remember(key, value) {
      if (recall(key) !== value) db.transact(() => setMeta.run(key, value));
    },
    recall,
    cursor: () => ({ epoch, seq: newestSeq() }),
    events: (afterSeq, limit, maxBytes) =>
      firstOf(
        readEvents.iterate(afterSeq),
        (row) =>
          parse(row).map((vm) => ({
            type: String(row.type) as VmEvent['type'],
            seq: Number(row.seq),
            vm,
            at: Number(row.at),
            ...(row.labels_before !== null && { labelsBefore: JSON.parse(String(row.labels_before)) }),
          })),
        ({ vm }) => bytesOf(vm),
        { limit, maxBytes },
      ),
    oldestSeq() {
      const seq = oldestEvent.get()?.seq;
      return seq === null || seq === undefined ? newestSeq() : Number(seq) - 1;
    },
    onEvent(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** What a record has beside its own text. */
const bytesOf = ({ spec }: MicroVm): number => spec.metadataRef?.bytes ?? 0;

/** At most `limit` that can be read, and `maxBytes` of them, but one at least: one that cannot be read is no end of the page. */
function firstOf<T>(
  rows: Iterable<Record<string, unknown>>,
  read: (row: Record<string, unknown>) => readonly T[],
  more: (one: T) => number,
  most: { readonly limit?: number | undefined; readonly maxBytes?: number | undefined },
): readonly T[] {
  const { limit = Number.POSITIVE_INFINITY, maxBytes = Number.POSITIVE_INFINITY } = most;
  const found: T[] = [];
  let bytes = 0;
  for (const row of rows) {
    if (found.length >= limit) break;
    const next = read(row);
    bytes += Buffer.byteLength(String(row.record)) + next.reduce((sum, one) => sum + more(one), 0);
    if (found.length > 0 && bytes > maxBytes) break;
    found.push(...next);
  }
  return found;
}

/** What every reader counts on. The rest is as whoever wrote it left it: `update` writes whole records. */
function isRecord(value: unknown): value is MicroVm {
  const { uid, spec, state, allocation, made } = Object(value) as Partial<Record<string, unknown>>;
  return (
    typeof uid === 'string' &&
    [spec, state, allocation, made].every((part) => typeof part === 'object' && part !== null)
  );
}

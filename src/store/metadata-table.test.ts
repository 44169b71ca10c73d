import { mkdtempSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { expect, onTestFinished, test } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { sampleRecord } from '../../test/support/fake-services.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { metadataRef } from '../domain/metadata-rules.ts';
import type { MicroVm, Uid } from '../domain/microvm.ts';
import type { Metadata } from '../domain/spec.ts';
import type { Store } from '../ports/store.ts';
import { Database } from './database.ts';
import { first } from './schema/0001-first.ts';
import { promises } from './schema/0002-promises.ts';
import { answers } from './schema/0003-answers.ts';
import { labelsBefore } from './schema/0004-labels-before.ts';
import { ledgerVersions } from './schema/0005-ledger-versions.ts';
import { createStore } from './vms.ts';

function open(path = ':memory:') {
  const clock = new FakeClock();
  const log = memoryLog();
  const db = new Database(path);
  onTestFinished(() => db.close());
  return { db, clock, log, store: createStore(db, { clock, log, newEpoch: () => 'epoch1' }) };
}

const uidOf = (n: number): Uid => `01JDGZ${String(n).padStart(20, '0')}` as Uid;
const withRef = (vm: MicroVm, metadata: Metadata, generation: number): MicroVm => {
  const { metadataRef: _, ...spec } = vm.spec;
  const ref = metadataRef(metadata, generation);
  return { ...vm, generation, spec: ref ? { ...spec, metadataRef: ref } : spec };
};
/** The nth record, which is written for the first time. */
const vm = (n: number, metadata: Metadata): MicroVm => {
  const { spec, ...sample } = sampleRecord({ uid: uidOf(n), version: 1 });
  const allocation = { vmmUser: 70_000 + n, interfaces: {} };
  return withRef({ ...sample, spec: { ...spec, id: `vm${n}`, interfaces: [] }, allocation }, metadata, 1);
};
const add = (store: Store, n: number, metadata: Metadata): void =>
  store.create({ vm: vm(n, metadata), metadata, uniqueId: true });
/** As an update of the spec does it. */
const change = (store: Store, n: number, metadata: Metadata): void =>
  void store.update(uidOf(n), (old) => {
    const next = withRef(old, metadata, old.generation + 1);
    store.keepMetadata(next, metadata);
    return next;
  });
const touch = (store: Store, n: number): void => void store.update(uidOf(n), (old) => ({ ...old, retry: 1 }));

const SECRET = 'c2VjcmV0';
const rowsOf = (db: Database): number => Number(db.sql.prepare('SELECT count(*) AS n FROM metadata').get()?.n);

test('is in no record, event or answer, and is written once', () => {
  const { store, db } = open();
  add(store, 1, { 'user-data': SECRET });
  store.answer('k', { digest: 'd', vm: vm(1, { 'user-data': SECRET }), at: 1 });
  touch(store, 1);
  for (const table of ['vms', 'events', 'answers'])
    expect(JSON.stringify(db.sql.prepare(`SELECT * FROM ${table}`).all())).not.toContain(SECRET);
  expect(rowsOf(db)).toBe(1);
  const stored = store.get(uidOf(1));
  expect(stored && store.metadataOf(stored)).toEqual({ 'user-data': SECRET });
});

test('a record that has none needs no row', () => {
  const { store, db } = open();
  add(store, 1, {});
  expect(store.metadataOf(vm(1, {}))).toEqual({});
  expect(rowsOf(db)).toBe(0);
});

test('of a past record is what it had then', () => {
  const { store } = open();
  add(store, 1, { a: 'one' });
  change(store, 1, { a: 'two', __proto__key: 'x' });
  change(store, 1, {});
  touch(store, 1);
  expect(store.events(0, 10).map((event) => store.metadataOf(event.vm))).toEqual([
    { a: 'one' },
    { a: 'two', __proto__key: 'x' },
    {},
    {},
  ]);
});

test('is kept as long as a record, an event or an answer names it, and no longer', () => {
  const { store, db, clock } = open();
  const begin = clock.now();
  add(store, 1, { a: 'one' });
  store.answer('k', { digest: 'd', vm: vm(1, { a: 'one' }), at: begin + 2_000 });
  clock.advance(1_000);
  change(store, 1, { a: 'two' });
  change(store, 1, { a: 'three' });
  store.purge(0, begin);
  expect(rowsOf(db)).toBe(3);
  store.purge(0, begin + 2_000); // all events go; the answer stays, and that of its microVM with it
  expect(rowsOf(db)).toBe(3);
  store.purge(0, begin + 2_001);
  expect(rowsOf(db)).toBe(1); // what the record has
  store.gone(uidOf(1));
  store.purge(0, clock.now() + 1);
  const gone = store.get(uidOf(1));
  expect(gone && store.metadataOf(gone)).toEqual({ a: 'three' });
  store.purge(clock.now() + 1, 0);
  expect(rowsOf(db)).toBe(0);
});

test('what a record has no more goes with the events that tell of it', () => {
  const { store, db, clock } = open();
  add(store, 1, { a: 'one' });
  change(store, 1, {});
  store.purge(0, clock.now());
  expect(rowsOf(db)).toBe(1);
  store.purge(0, clock.now() + 1);
  expect(rowsOf(db)).toBe(0);
});

test('counts among the bytes of a page', () => {
  const { store } = open();
  const large = { a: 'x'.repeat(10_000) };
  for (const n of [1, 2, 3]) add(store, n, large);
  expect(store.list({ maxBytes: 25_000 })).toHaveLength(2);
  expect(store.events(0, 10, 25_000)).toHaveLength(2);
  expect(store.list({ maxBytes: 1 })).toHaveLength(1);
});

test.each([
  ['no JSON', (db: Database) => db.sql.exec("UPDATE metadata SET content = '{'")],
  ['a list', (db: Database) => db.sql.exec("UPDATE metadata SET content = '[1]'")],
  ['missing', (db: Database) => db.sql.exec('DELETE FROM metadata')],
])('that is %s is told, and hides no record', (_, spoil) => {
  const { store, db, log } = open();
  add(store, 1, { a: SECRET });
  spoil(db);
  expect(() => store.metadataOf(vm(1, { a: SECRET }))).toThrow(expect.objectContaining({ kind: 'tool' }));
  expect(log.lines).toMatchObject([{ level: 'error', fields: { uid: uidOf(1), generation: 1 } }]);
  expect(store.list({})).toHaveLength(1);
  touch(store, 1);
});

/** A record as version 5 and those before it stored it: the metadata within. */
const old = (n: number, generation: number, metadata: Metadata, more: object = {}): string => {
  const { spec, ...rest } = vm(n, {});
  return JSON.stringify({ ...rest, generation, spec: { ...spec, metadata }, ...more });
};

/** A database as version 5 left it. */
function version5(): string {
  const directory = mkdtempSync('/tmp/flt-store-');
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const path = `${directory}/f.db`;
  const db = new DatabaseSync(path);
  for (const script of [first, promises, answers, labelsBefore, ledgerVersions, 'PRAGMA user_version=5'])
    db.exec(script);
  const vms = db.prepare('INSERT INTO vms (uid, namespace, id, version, gone_at, record) VALUES (?, ?, ?, ?, ?, ?)');
  const events = db.prepare('INSERT INTO events (type, record, at) VALUES (?, ?, ?)');
  const kept = db.prepare('INSERT INTO answers (key, digest, record, at) VALUES (?, ?, ?, ?)');
  // One whose metadata was changed, whose labels were changed later, and that has an answer.
  events.run('ADDED', old(1, 1, { a: 'one', 'é "\\': 'raw é\n' }), 1);
  events.run('MODIFIED', old(1, 2, { a: 'two' }), 2);
  events.run('MODIFIED', old(1, 3, { a: 'two' }), 3);
  vms.run(uidOf(1), 'default', 'vm1', 4, null, old(1, 3, { a: 'two' }, { version: 4 }));
  kept.run('k', 'd', old(1, 1, { a: 'one', 'é "\\': 'raw é\n' }), 1);
  // One without, one that is gone and of which no event tells any more, and two that cannot be read.
  vms.run(uidOf(2), 'default', 'vm2', 1, null, old(2, 1, {}));
  vms.run(uidOf(3), 'default', 'vm3', 1, 5, old(3, 1, { a: 'gone' }, { goneAt: 5 }));
  vms.run(uidOf(4), 'default', 'vm4', 1, null, '{"uid":');
  events.run('MODIFIED', '{}', 4);
  events.run('MODIFIED', 'null', 5);
  db.close();
  return path;
}

test('of a database of version 5 is taken out of its records, events and answers', () => {
  const { store, db } = open(version5());
  const vms = store.list({ gone: true });
  expect(vms.map((one) => [one.spec.id, store.metadataOf(one)])).toEqual([
    ['vm1', { a: 'two' }],
    ['vm2', {}],
    ['vm3', { a: 'gone' }],
  ]);
  expect(vms[0]).toEqual({ ...withRef(vm(1, {}), { a: 'two' }, 3), version: 4 });
  expect(vms[1]).toEqual(vm(2, {}));
  expect(store.events(0, 10).map((event) => [event.seq, store.metadataOf(event.vm)])).toEqual([
    [1, { a: 'one', 'é "\\': 'raw é\n' }],
    [2, { a: 'two' }],
    [3, { a: 'two' }],
  ]);
  const answer = store.answered('k');
  expect(answer?.vm).toEqual(vm(1, { a: 'one', 'é "\\': 'raw é\n' }));
  expect(answer && store.metadataOf(answer.vm)).toEqual({ a: 'one', 'é "\\': 'raw é\n' });
  for (const table of ['vms', 'events', 'answers'])
    expect(JSON.stringify(db.sql.prepare(`SELECT record FROM ${table}`).all())).not.toContain('"metadata\\"');
  expect(db.sql.prepare('SELECT record FROM vms WHERE uid = ?').get(uidOf(4))).toEqual({ record: '{"uid":' });
});

test('of a database of version 5 goes on as if it had been written today', () => {
  const { store, db, clock } = open(version5());
  expect(rowsOf(db)).toBe(4); // three generations of the first, and the one that is gone
  change(store, 1, { a: 'three' });
  store.purge(clock.now(), 0);
  expect(rowsOf(db)).toBe(4); // events and the answer are kept; what was gone is not
  store.purge(0, clock.now() + 1);
  expect(rowsOf(db)).toBe(1);
  const now = store.get(uidOf(1));
  expect(now && store.metadataOf(now)).toEqual({ a: 'three' });
});

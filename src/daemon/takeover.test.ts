import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, onTestFinished, test } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { ownedBy } from '../../test/support/ledger-rows.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { LEDGER_KINDS } from '../domain/ledger.ts';
import type { Names } from '../domain/names.ts';
import { expect as expectation } from '../engine/audit/expect.ts';
import { planMake, planUnmake } from '../steps/plan.ts';
import { schemas } from '../steps/registry.ts';
import { Database } from '../store/database.ts';
import { createLedger } from '../store/ledger.ts';
import { createStore } from '../store/vms.ts';

/** What `test/takeover/make.ts` has printed, by the version of the database. */
const KEPT = globSync(resolve(import.meta.dirname, '../../test/takeover/database-*.sql')).toSorted();
const names: Names = { instance: 'abcd', stateDirectory: '/state', runDirectory: '/run/fl' };

function takenOver(sql: string) {
  const directory = mkdtempSync('/tmp/flt-takeover-');
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'flintlock.db');
  const before = new DatabaseSync(path);
  before.exec(`PRAGMA synchronous=OFF; BEGIN; ${sql} COMMIT`);
  before.close();
  const [log, clock] = [memoryLog(), new FakeClock()];
  const database = new Database(path);
  onTestFinished(() => database.close());
  const store = createStore(database, { clock, log, newEpoch: () => 'anew' });
  return { store, ledger: createLedger(database, schemas, '0.0.0-test'), log };
}

test('one row of each kind is kept', () => {
  const all = KEPT.map((path) => readFileSync(path, 'utf8')).join('');
  expect(LEDGER_KINDS.filter((kind) => !new RegExp(`^INSERT INTO ledger .*, '${kind}', `, 'm').test(all))).toEqual([]);
});

for (const path of KEPT) {
  const sql = readFileSync(path, 'utf8');

  test(`every record of ${basename(path)} loads, one in each state`, () => {
    const { store, log } = takenOver(sql);
    const vms = store.list({});
    expect(vms.map(({ spec, state }) => `${spec.id} is ${state.is}`).toSorted()).toEqual([
      'created is CREATED',
      'deleting is DELETING',
      'failed is FAILED',
      'paused is PAUSED',
      'pending is PENDING',
      'stopped is STOPPED',
    ]);
    expect(store.list({ gone: true })).toHaveLength(7);
    expect(store.promised()).toMatchObject({ microvms: 6 });
    expect(store.recall('epoch')).not.toBe('anew');
    expect(log.lines).toEqual([]);
  });

  test(`the metadata of ${basename(path)} is what its records and events had`, () => {
    const before = new DatabaseSync(':memory:');
    onTestFinished(() => before.close());
    before.exec(sql);
    // From version 6 on it has a table of its own.
    const hasTable = before.prepare(`SELECT 1 FROM sqlite_schema WHERE name = 'metadata'`).get() !== undefined;
    const held = hasTable
      ? `coalesce((SELECT content FROM metadata m WHERE m.uid = record ->> '$.uid'
           AND m.generation = record ->> '$.spec.metadataRef.generation'), '{}')`
      : `record -> '$.spec.metadata'`;
    const heldBy = (table: 'vms' | 'events', order: string): readonly unknown[] =>
      before
        .prepare(`SELECT ${held} AS held FROM ${table} ORDER BY ${order}`)
        .all()
        .map((row) => JSON.parse(String(row.held)));
    const { store } = takenOver(sql);
    const vms = store.list({ gone: true });
    expect(vms.map((vm) => store.metadataOf(vm))).toEqual(heldBy('vms', 'uid'));
    expect(store.events(0, 1_000).map(({ vm }) => store.metadataOf(vm))).toEqual(heldBy('events', 'seq'));
    expect(vms.some((vm) => Object.keys(store.metadataOf(vm)).length > 0)).toBe(true);
  });

  test(`every row of the ledger of ${basename(path)} parses`, () => {
    const { store, ledger } = takenOver(sql);
    expect(ledger.unreadable()).toEqual([]);
    expect(ledger.all().length).toBe(sql.match(/^INSERT INTO ledger /gm)?.length);
    const byId = (id: string) => store.find('default', id)[0];
    for (const id of ['created', 'paused']) {
      const vm = byId(id);
      if (!vm) throw new Error(`no ${id}`);
      // All of it is made: it is adopted, and nothing is made anew.
      expect(planMake(vm, ledger.of(ownedBy(vm.uid)))).toEqual([]);
      expect(ledger.find(ownedBy(vm.uid), 'vmm', '')?.result).toMatchObject({ process: { pid: expect.any(Number) } });
    }
    const deleting = byId('deleting');
    // What was under way when its daemon was killed differs: from the tap on nothing had begun.
    const left = planUnmake(ledger.of(ownedBy(deleting?.uid ?? ''))).map(({ kind }) => kind);
    expect(left.slice(left.indexOf('tap'))).toEqual(['tap', 'guard', 'lease', 'volume', 'directory', 'image']);
  });

  test(`the audit knows what each row of ${basename(path)} has on the host`, () => {
    const { ledger } = takenOver(sql);
    const firewall = { elementsOf: ({ kind }: { kind: string }) => [`an element of ${kind}`] };
    const { named } = expectation(ledger.all(), names, [], [], firewall);
    const silent = ledger.all().filter(({ kind }) => !named.some(({ step }) => step === kind));
    expect([...new Set(silent.map(({ kind }) => kind))].toSorted()).toEqual(['forwarding', 'image']); // a setting, a hold
  });

  test(`what is marked on a row of ${basename(path)} is written by this program's schema`, () => {
    const { ledger } = takenOver(sql);
    for (const entry of ledger.ofKind('tap')) if (entry.result) ledger.made(entry, entry.result);
    expect(ledger.unreadable()).toEqual([]);
  });
}

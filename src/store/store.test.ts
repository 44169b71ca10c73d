import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { allocatedIn } from '../../test/support/fake-host.ts';
import { sampleRecord } from '../../test/support/fake-services.ts';
import { INTENTS, ownedBy, RESULTS } from '../../test/support/ledger-rows.ts';
import { ledgerIn } from '../../test/support/memory-ledger.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { Fault } from '../domain/fault.ts';
import { HOST_OWNER } from '../domain/ledger.ts';
import type { MicroVm, Uid } from '../domain/microvm.ts';
import { matches, parseSelector, type Selector } from '../domain/selector.ts';
import type { Store } from '../ports/store.ts';
import { Database, holdLock } from './database.ts';
import { createStore } from './vms.ts';

function open(path = ':memory:') {
  const clock = new FakeClock();
  const log = memoryLog();
  const db = new Database(path);
  let epochs = 0;
  const store = createStore(db, { clock, log, newEpoch: () => `epoch${++epochs}` });
  return { db, clock, log, store, ledger: ledgerIn(db) };
}

function directory(): string {
  const path = mkdtempSync('/tmp/flt-store-');
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const uidOf = (n: number): Uid => `01JDGZ${String(n).padStart(20, '0')}` as Uid;
/** The nth record, with what is its own. */
function vm(n: number, changes: Partial<MicroVm['spec']> = {}): MicroVm {
  const sample = sampleRecord({
    uid: uidOf(n),
    version: 1,
    state: { is: 'PENDING', reason: 'Preparing', message: '' },
  });
  return {
    ...sample,
    spec: { ...sample.spec, id: `vm${n}`, ...changes },
    allocation: {
      vmmUser: 70_000 + n,
      interfaces: { eth0: { mac: `52:54:00:00:00:${String(n).padStart(2, '0')}`, address: `10.77.0.${n}` } },
    },
  };
}
const add = (store: Store, ...vms: readonly MicroVm[]): void => {
  for (const one of vms) store.create({ vm: one, uniqueId: true });
};
const idsOf = (vms: readonly MicroVm[]): readonly string[] => vms.map(({ spec }) => spec.id);
const renamed = (message: string) => (old: MicroVm) => ({
  ...old,
  state: { is: 'PENDING', reason: 'Preparing', message } as const,
});

test('a tally counts what is not gone, by state and by the provider that it has or asks for', () => {
  const { store } = open();
  add(store, vm(1), vm(2, { provider: '' }), vm(3, { provider: 'ghost' }), vm(4));
  const made = { volumes: {}, interfaces: {} };
  for (const n of [1, 3]) store.update(uidOf(n), (old) => ({ ...old, made }));
  store.update(uidOf(2), (old) => ({
    ...old,
    made: { ...made, provider: 'qemu' },
    state: { is: 'CREATED', reason: 'Running', message: '' },
  }));
  store.gone(uidOf(4));
  expect(store.tally()).toEqual(
    expect.arrayContaining([
      { state: 'CREATED', provider: 'qemu', count: 1 },
      { state: 'PENDING', provider: 'ghost', count: 1 },
      { state: 'PENDING', provider: vm(1).spec.provider, count: 1 },
    ]),
  );
  expect(store.tally()).toHaveLength(3);
});

describe('create', () => {
  test('stores the record whole, with its event', () => {
    const { store } = open();
    add(store, vm(1));
    expect(store.get(uidOf(1))).toEqual(vm(1));
    expect(store.find('default', 'vm1')).toEqual([vm(1)]);
    expect(store.events(0, 10)).toMatchObject([{ type: 'ADDED', seq: 1, vm: vm(1) }]);
    expect(store.count()).toBe(1);
  });

  test.each<[string, MicroVm, object]>([
    ['id', { ...vm(2), spec: { ...vm(2).spec, id: 'vm1' } }, { kind: 'exists' }],
    [
      'MAC address',
      { ...vm(2), allocation: { vmmUser: 70_002, interfaces: { eth0: { mac: '52:54:00:00:00:01' } } } },
      { kind: 'invalid', violations: [expect.objectContaining({ field: 'interfaces[0].guest_mac' })] },
    ],
    [
      'address',
      {
        ...vm(2),
        allocation: { vmmUser: 70_002, interfaces: { eth0: { mac: '52:54:00:00:00:02', address: '10.77.0.1' } } },
      },
      { kind: 'invalid', violations: [expect.objectContaining({ field: 'interfaces[0].address' })] },
    ],
    ['VMM user', { ...vm(2), allocation: { ...vm(2).allocation, vmmUser: 70_001 } }, {}],
  ])('with a taken %s leaves nothing at all', (_, taken, fault) => {
    const { store, db } = open();
    add(store, vm(1));
    let told = 0;
    store.onEvent(() => told++);
    expect(() => add(store, taken)).toThrow(expect.objectContaining(fault));
    expect(store.get(uidOf(2))).toBeUndefined();
    expect(store.cursor().seq).toBe(1);
    expect(told).toBe(0);
    for (const kind of ['mac', 'address', 'vmm-user'] as const) expect(allocatedIn(db, kind)).toBe(1);
    add(store, vm(2)); // its label rows, too, are gone
  });

  test('of a uid whose interfaces would have the names of another is refused, and taken when that is gone', () => {
    const { store } = open();
    const alike = { ...vm(2), uid: uidOf(1).replace('JDGZ', 'JDH0') as Uid };
    add(store, vm(1));
    expect(store.isAllocated('tap-stem', '000001')).toBe(true);
    expect(() => add(store, alike)).toThrow(expect.objectContaining({ kind: 'conflict' }));
    expect(store.get(alike.uid)).toBeUndefined();
    store.gone(uidOf(1));
    expect(store.isAllocated('tap-stem', '000001')).toBe(false);
    add(store, alike);
    expect(store.isAllocated('tap-stem', '000001')).toBe(true);
  });

  test('of an id that the drop-in surface may use twice is found twice', () => {
    const { store } = open();
    for (const n of [1, 2]) store.create({ vm: vm(n, { id: 'same' }), uniqueId: false });
    expect(store.find('default', 'same').map(({ uid }) => uid)).toEqual([uidOf(1), uidOf(2)]);
  });

  test('the same id in another namespace is another', () => {
    const { store } = open();
    add(store, vm(1, { id: 'same', namespace: 'a' }), vm(2, { id: 'same', namespace: 'b' }));
    expect(store.find('b', 'same')).toHaveLength(1);
  });
});

describe('update', () => {
  test('writes the next version and its event together, and tells it once it is stored', () => {
    const { store } = open();
    add(store, vm(1));
    const seen: number[] = [];
    store.onEvent(() => seen.push(store.get(uidOf(1))?.version ?? 0));
    expect(store.update(uidOf(1), renamed('a'))).toMatchObject({ version: 2, state: { message: 'a' } });
    expect(seen).toEqual([2]);
    expect(store.events(1, 10)).toMatchObject([{ type: 'MODIFIED', seq: 2, vm: { version: 2 } }]);
  });

  test('that is left stores nothing', () => {
    const { store } = open();
    add(store, vm(1));
    expect(store.update(uidOf(1), () => undefined)).toEqual(vm(1));
    expect(store.cursor().seq).toBe(1);
  });

  test('of what is not there, or gone, changes nothing', () => {
    const { store } = open();
    add(store, vm(1));
    store.gone(uidOf(1));
    expect(store.update(uidOf(9), renamed('a'))).toBeUndefined();
    expect(store.update(uidOf(1), renamed('a'))?.state).toMatchObject({ is: 'DELETING', reason: 'Deleted' });
    expect(store.cursor().seq).toBe(2);
  });

  test('that throws leaves the record, stores no event and tells nobody', () => {
    const { store, db } = open();
    add(store, vm(1));
    let told = 0;
    store.onEvent(() => told++);
    expect(() =>
      db.transact(() => {
        store.update(uidOf(1), renamed('a'));
        store.remember('key', 'value');
        throw new Fault('full', 'no');
      }),
    ).toThrow('no');
    expect(store.get(uidOf(1))).toEqual(vm(1));
    expect(store.recall('key')).toBeUndefined();
    expect(store.events(1, 10)).toEqual([]);
    expect(told).toBe(0);
    // The next transaction is whole again.
    store.update(uidOf(1), renamed('b'));
    expect(told).toBe(1);
  });

  test('writes the record and its event, and nothing that has not changed', () => {
    const { store, db } = open();
    add(store, vm(1, { labels: { app: 'web' } }));
    store.remember('key', 'value');
    const changes = (act: () => void): number => {
      const total = (): number => Number(db.sql.prepare('SELECT total_changes() AS n').get()?.n);
      const before = total();
      act();
      return total() - before;
    };
    expect(changes(() => void store.update(uidOf(1), renamed('a')))).toBe(2);
    const made = { volumes: { root: { digest: '', path: '', sizeInMb: 65 } }, interfaces: {} };
    expect(changes(() => void store.update(uidOf(1), (old) => ({ ...old, made })))).toBe(3); // and what it is promised
    expect(changes(() => void store.update(uidOf(1), () => undefined))).toBe(0);
    expect(changes(() => store.remember('key', 'value'))).toBe(0);
    expect(store.promised()).toMatchObject({ diskInMb: 65 });
  });

  test('many in one transaction are told once', () => {
    const { store, db } = open();
    add(store, vm(1), vm(2));
    let told = 0;
    store.onEvent(() => told++);
    db.transact(() => [1, 2].map((n) => store.update(uidOf(n), renamed('a'))));
    expect(told).toBe(1);
    expect(store.cursor().seq).toBe(4);
  });

  test('a listener that throws neither fails the write nor keeps others from hearing of it', () => {
    const { store, log } = open();
    let told = 0;
    store.onEvent(() => {
      throw new Error('a bug');
    });
    const stop = store.onEvent(() => told++);
    add(store, vm(1));
    expect(told).toBe(1);
    expect(log.lines).toMatchObject([{ level: 'error' }]);
    stop();
    store.update(uidOf(1), renamed('a'));
    expect(told).toBe(1);
  });
});

describe('list', () => {
  test('is oldest first, by namespace, selector, page and what comes after', () => {
    const { store } = open();
    add(
      store,
      vm(3, { namespace: 'a', labels: { app: 'web' } }),
      vm(1, { namespace: 'a', labels: { app: 'db' } }),
      vm(2, { namespace: 'b', labels: { app: 'web' } }),
      vm(4, { namespace: 'a', labels: {} }),
    );
    const ids = (query: Parameters<Store['list']>[0]): readonly string[] => {
      const found = idsOf(store.list(query));
      const rows = [...store.rows(query)].map(({ uid }) => `vm${Number(uid.slice(6))}`);
      expect(rows.slice(0, query.limit)).toEqual(found); // the same ones, however they are read
      return found;
    };
    expect(ids({})).toEqual(['vm1', 'vm2', 'vm3', 'vm4']);
    expect(ids({ namespace: 'a' })).toEqual(['vm1', 'vm3', 'vm4']);
    expect(ids({ selector: parseSelector('app=web') })).toEqual(['vm2', 'vm3']);
    expect(ids({ selector: parseSelector('app'), namespace: 'a' })).toEqual(['vm1', 'vm3']);
    expect(ids({ limit: 2 })).toEqual(['vm1', 'vm2']);
    expect(ids({ limit: 2, after: uidOf(2) })).toEqual(['vm3', 'vm4']);
    expect(ids({ namespace: 'none' })).toEqual([]);
    expect(ids({ limit: 0 })).toEqual([]);
  });

  test('has of each row the version and the bytes that are stored, and lets others be read meanwhile', () => {
    const { store } = open();
    add(store, vm(1), vm(2, { labels: { name: 'é' } }), vm(3));
    store.update(uidOf(2), renamed('a'));
    const read: unknown[] = [];
    for (const row of store.rows({})) {
      expect(row.bytes).toBe(Buffer.byteLength(JSON.stringify(store.get(row.uid))));
      read.push([row.uid, row.version, store.rows({ namespace: 'none' })[Symbol.iterator]().next().done]);
      if (row.uid === uidOf(2)) break;
    }
    expect(read).toEqual([
      [uidOf(1), 1, true],
      [uidOf(2), 2, true],
    ]);
    store.gone(uidOf(1)); // a read that was broken off holds nothing
    expect([...store.rows({})].map(({ uid }) => uid)).toEqual([uidOf(2), uidOf(3)]);
  });

  test('of one form after the other finds what is asked for now', () => {
    const { store } = open();
    add(store, ...Array.from({ length: 9 }, (_, i) => vm(i + 1, { labels: { [`k${i + 1}`]: 'x' } })));
    // More forms than are kept compiled.
    for (let i = 0; i < 250; i++) {
      const values = ['x', ...Array.from({ length: i % 100 }, (_, n) => `y${n}`)];
      const selector = parseSelector(`k${(i % 9) + 1} in (${values.join(',')})`);
      const found = [...store.rows({ selector, gone: i % 200 >= 100 })];
      expect(found.map(({ uid }) => uid)).toEqual([uidOf((i % 9) + 1)]);
    }
  });

  test('shows what is gone only when asked', () => {
    const { store } = open();
    add(store, vm(1), vm(2));
    store.gone(uidOf(1));
    expect(idsOf(store.list({}))).toEqual(['vm2']);
    expect(idsOf(store.list({ gone: true }))).toEqual(['vm1', 'vm2']);
    expect(store.count()).toBe(1);
    expect(store.find('default', 'vm1')).toEqual([]);
    expect(store.find('default', 'vm1', true)).toHaveLength(1);
  });

  test('by a selector finds those too that are gone, and no others', () => {
    const { store } = open();
    add(store, vm(1, { labels: { app: 'web' } }), vm(2, { labels: { app: 'db' } }), vm(3, { labels: { app: 'web' } }));
    store.gone(uidOf(1));
    store.gone(uidOf(2));
    expect(idsOf(store.list({ gone: true, selector: parseSelector('app=web') }))).toEqual(['vm1', 'vm3']);
    expect(idsOf(store.list({ gone: true, selector: parseSelector('app!=web') }))).toEqual(['vm2']);
    expect(idsOf(store.list({ selector: parseSelector('app') }))).toEqual(['vm3']);
  });

  test('by a selector finds what the domain says that it matches', () => {
    const key = fc.constantFrom('a', 'b', 'c');
    const value = fc.constantFrom('', '1', '2');
    const labels = fc.dictionary(key, value, { noNullPrototype: true });
    const values = fc.array(value, { minLength: 1, maxLength: 3 });
    const selector: fc.Arbitrary<Selector> = fc.array(
      fc.oneof(
        fc.record({ key, op: fc.constantFrom('in' as const, 'notin' as const), values }),
        fc.record({ key, op: fc.constantFrom('exists' as const, 'absent' as const) }),
      ),
      { maxLength: 4 },
    );
    fc.assert(
      fc.property(fc.array(labels, { minLength: 1, maxLength: 12 }), fc.array(selector), (all, selectors) => {
        const { store, db } = open();
        db.transact(() => add(store, ...all.map((one, i) => vm(i, { labels: one }))));
        for (const one of selectors)
          expect(idsOf(store.list({ selector: one }))).toEqual(
            all.flatMap((has, i) => (matches(one, has) ? [`vm${i}`] : [])),
          );
        db.close();
      }),
      { numRuns: 40 },
    );
  });

  test('takes the longest selector there can be', () => {
    const { store } = open();
    add(store, vm(1, { labels: {} }));
    const values = Array.from({ length: 100 }, (_, i) => `v${i}`);
    const text = Array.from({ length: 256 }, (_, i) => `k${i} notin (${values.join(',')})`).join(',');
    expect(store.list({ selector: parseSelector(text) })).toHaveLength(1);
  });

  test('of labels that look like SQL finds them', () => {
    const { store } = open();
    add(store, vm(1, { labels: { "x' OR 1=1 --": "'; DROP TABLE vms; --" } }));
    const selector: Selector = [{ key: "x' OR 1=1 --", op: 'in', values: ["'; DROP TABLE vms; --"] }];
    expect(store.list({ selector })).toHaveLength(1);
  });
});

describe.each([
  ['no JSON', '{"uid":'],
  ['of another shape', '{}'],
  ['null', 'null'],
  ['a text', '"x"'],
  ['half a record', JSON.stringify({ uid: uidOf(1), spec: {} })],
])('a record that is %s', (_, record) => {
  test('is told and left out, and hides no other from list, page, find or events', () => {
    const { store, db, log } = open();
    add(store, vm(1), vm(2), vm(3));
    db.sql.prepare('UPDATE vms SET record = ? WHERE uid = ?').run(record, uidOf(1));
    db.sql.prepare('UPDATE events SET record = ? WHERE seq = 1').run(record);
    expect(idsOf(store.list({}))).toEqual(['vm2', 'vm3']);
    expect(idsOf(store.list({ limit: 2 }))).toEqual(['vm2', 'vm3']);
    expect(store.get(uidOf(1))).toBeUndefined();
    expect(store.find('default', 'vm1')).toEqual([]);
    expect(store.update(uidOf(1), renamed('a'))).toBeUndefined();
    expect(store.events(0, 2).map(({ seq }) => seq)).toEqual([2, 3]);
    expect(log.lines[0]).toMatchObject({ level: 'error' });
    store.gone(uidOf(1));
    store.update(uidOf(2), renamed('a'));
  });
});

describe('gone', () => {
  test('frees what was allocated, and ends with an event', () => {
    const { store, db, clock } = open();
    add(store, vm(1, { labels: { app: 'web' } }));
    store.gone(uidOf(1));
    for (const kind of ['mac', 'address', 'vmm-user'] as const) expect(allocatedIn(db, kind)).toBe(0);
    expect(store.get(uidOf(1))).toMatchObject({ version: 2, goneAt: clock.now(), addresses: {} });
    expect(store.events(1, 10)).toMatchObject([{ type: 'DELETED', vm: { goneAt: clock.now() } }]);
    add(store, { ...vm(2, { id: 'vm1' }), allocation: vm(1).allocation });
  });

  test('twice is once', () => {
    const { store } = open();
    add(store, vm(1));
    store.gone(uidOf(1));
    store.gone(uidOf(1));
    store.gone(uidOf(7));
    expect(store.cursor().seq).toBe(2);
  });
});

describe('purge', () => {
  test('forgets what was gone before a time, never what is there', () => {
    const { store, clock } = open();
    add(store, vm(1), vm(2), vm(3));
    store.gone(uidOf(1));
    clock.advance(1_000);
    store.gone(uidOf(2));
    store.purge(clock.now(), 0);
    expect(idsOf(store.list({ gone: true }))).toEqual(['vm2', 'vm3']);
  });

  test('forgets old events, and says from where they are kept', () => {
    const { store, clock } = open();
    add(store, vm(1));
    expect(store.oldestSeq()).toBe(0);
    clock.advance(1_000);
    add(store, vm(2));
    store.purge(0, clock.now());
    expect(store.events(0, 10).map(({ seq }) => seq)).toEqual([2]);
    expect(store.oldestSeq()).toBe(1);
    store.purge(0, clock.now() + 1);
    expect(store.oldestSeq()).toBe(2);
    expect(store.cursor().seq).toBe(2);
    add(store, vm(3));
    expect(store.events(2, 10).map(({ seq }) => seq)).toEqual([3]);
  });

  test('leaves no gap when the clock was set back: a reader would miss it', () => {
    const { store, clock } = open();
    add(store, vm(1));
    clock.set(clock.now() - 1_000_000);
    add(store, vm(2));
    const cut = clock.now() + 1;
    clock.set(clock.now() + 1_000_000);
    add(store, vm(3));
    store.purge(0, cut);
    const kept = store.events(0, 10).map(({ seq }) => seq);
    expect(kept).toEqual(Array.from({ length: kept.length }, (_, i) => store.oldestSeq() + 1 + i));
  });
});

describe('an answer', () => {
  test('is kept with what it tells of or not at all, also when the database is opened again', () => {
    const path = `${directory()}/db`;
    const { store, db } = open(path);
    const first = { digest: 'd', vm: vm(1), at: 5 };
    expect(() =>
      db.transact(() => {
        add(store, vm(1));
        store.answer('k', first);
        throw new Fault('full', 'no');
      }),
    ).toThrow('no');
    expect(store.answered('k')).toBeUndefined();
    db.transact(() => {
      add(store, vm(1));
      store.answer('k', first);
    });
    db.close();
    const again = open(path);
    expect(again.store.answered('k')).toEqual(first);
    expect(() => again.store.answer('k', first)).toThrow('UNIQUE');
    again.store.purge(0, 5);
    expect(again.store.answered('k')).toEqual(first);
    again.store.purge(0, 6);
    expect(again.store.answered('k')).toBeUndefined();
    again.db.close();
  });

  test('that cannot be read is no missing one', () => {
    const { store, db } = open();
    store.answer('k', { digest: 'd', vm: vm(1), at: 5 });
    db.sql.exec("UPDATE answers SET record = '{'");
    expect(() => store.answered('k')).toThrow(expect.objectContaining({ kind: 'tool' }));
  });
});

describe('the database', () => {
  test('keeps records, ledger, epoch and cursor when it is opened again', () => {
    const path = `${directory()}/f.db`;
    const first = open(path);
    add(first.store, vm(1));
    first.store.gone(uidOf(1));
    first.store.purge(first.clock.now() + 1, first.clock.now() + 1);
    first.ledger.intend(HOST_OWNER, 'bridge', '', { ...INTENTS.bridge, bridge: 'b' });
    first.store.remember('key', 'value');
    first.db.close();
    const second = open(path);
    expect(second.store.cursor()).toEqual({ epoch: 'epoch1', seq: 2 });
    expect(second.store.recall('key')).toBe('value');
    expect(second.ledger.of(HOST_OWNER)).toMatchObject([{ kind: 'bridge', intent: { bridge: 'b' }, made: false }]);
    add(second.store, vm(2));
    expect(second.store.cursor().seq).toBe(3);
    second.db.close();
  });

  test('writes through to the disk', () => {
    const { db } = open(`${directory()}/f.db`);
    expect(db.sql.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' });
    expect(db.sql.prepare('PRAGMA synchronous').get()).toEqual({ synchronous: 2 });
    db.close();
  });

  test('of an earlier version learns what its microVMs are promised', () => {
    const path = `${directory()}/f.db`;
    const first = open(path);
    add(first.store, vm(1, { memoryInMb: 100 }), vm(2, { memoryInMb: 50 }));
    first.store.gone(uidOf(2));
    first.db.sql.exec(
      `DROP TABLE metadata; DROP TABLE answers; DROP TABLE promises; ALTER TABLE events DROP COLUMN labels_before;
       ALTER TABLE ledger DROP COLUMN version; ALTER TABLE ledger DROP COLUMN program; PRAGMA user_version=1`,
    );
    first.db.close();
    const second = open(path);
    expect(second.store.promised()).toMatchObject({ microvms: 1, memoryInMb: 100 });
    second.db.close();
  });

  test('of an earlier version learns which names the interfaces of its microVMs have', () => {
    const path = `${directory()}/f.db`;
    const first = open(path);
    add(first.store, vm(1), vm(2));
    first.store.gone(uidOf(2));
    first.db.sql.exec("DELETE FROM allocations WHERE kind = 'tap-stem'");
    first.db.close();
    const second = open(path);
    expect(['000001', '000002'].map((stem) => second.store.isAllocated('tap-stem', stem))).toEqual([true, false]);
    second.store.gone(uidOf(1));
    expect(second.store.isAllocated('tap-stem', '000001')).toBe(false);
    second.db.close();
  });

  test('of a newer version is refused and left as it is', () => {
    const path = `${directory()}/f.db`;
    const newer = new DatabaseSync(path);
    newer.exec('PRAGMA user_version=999; CREATE TABLE theirs (x)');
    newer.close();
    expect(() => new Database(path)).toThrow(
      expect.objectContaining({ kind: 'refused', message: expect.stringContaining('it is of version 999') }),
    );
    const again = new DatabaseSync(path);
    expect(again.prepare('SELECT name FROM sqlite_master').all()).toMatchObject([{ name: 'theirs' }]);
    again.close();
  });

  test('that is none is refused', () => {
    const path = `${directory()}/f.db`;
    writeFileSync(path, 'this is not a database, but it is long enough to be taken for one'.repeat(100));
    expect(() => new Database(path)).toThrow(expect.objectContaining({ kind: 'refused' }));
  });

  test('that does not fit on its disk any more is a Fault with what is left there', () => {
    const path = `${directory()}/f.db`;
    const asked: string[] = [];
    const db = new Database(path, (of) => {
      asked.push(of);
      return 'the file system of /a has 12 KiB and 9 inodes left';
    });
    onTestFinished(() => db.close());
    db.sql.exec(`PRAGMA max_page_count=${Number(db.sql.prepare('PRAGMA page_count').get()?.page_count)}`);
    const store = createStore(db, { clock: new FakeClock(), log: memoryLog(), newEpoch: () => 'e' });
    expect(() => store.remember('much', 'x'.repeat(100_000))).toThrow(
      expect.objectContaining({
        ...{ kind: 'full', reason: 'StorageFull' },
        message:
          'Cannot write the database: no space left on the disk: the file system of /a has 12 KiB and 9 inodes left',
      }),
    );
    expect(asked).toEqual([path]);
  });

  test('that cannot be opened is a Fault with its path', () => {
    expect(() => new Database('/nowhere/at/all.db')).toThrow(
      expect.objectContaining({ kind: 'tool', message: expect.stringContaining('/nowhere/at/all.db') }),
    );
    // So is one for which there is no inode.
    const told = expect.objectContaining({
      message: expect.stringMatching(/unable to open .* \(9 KiB and 0 inodes left\)$/),
    });
    const room = () => '9 KiB and 0 inodes left';
    expect(() => new Database('/nowhere/at/all.db', room)).toThrow(told);
    expect(() => holdLock('/nowhere/at/all.db', room)).toThrow(told);
  });

  test('that has no room left is a Fault that says so, and goes on when there is room', () => {
    const { db, store } = open(`${directory()}/f.db`);
    add(store, vm(1));
    const pages = Number(db.sql.prepare('PRAGMA page_count').get()?.page_count);
    db.sql.exec(`PRAGMA max_page_count=${pages}`);
    const big = (): MicroVm | undefined => store.update(uidOf(1), renamed('x'.repeat(100_000)));
    expect(big).toThrow(expect.objectContaining({ kind: 'full', reason: 'StorageFull' }));
    expect(store.get(uidOf(1))).toEqual(vm(1));
    db.sql.exec('PRAGMA max_page_count=100000');
    expect(big()?.version).toBe(2);
    db.close();
  });
});

describe('the lock of a state directory', () => {
  const HOLD = `
    const { holdLock } = await import(process.argv[1]);
    // An object that nobody names is collected, and the lock with it.
    try { globalThis.lock = holdLock(process.argv[2]); console.log('held'); setInterval(() => {}, 1000); }
    catch (error) { console.log(error.kind + ': ' + error.message); }`;

  async function inAnotherProcess(path: string) {
    const child = spawn(
      process.execPath,
      ['--input-type=module', '-e', HOLD, new URL('./database.ts', import.meta.url).pathname, path],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    onTestFinished(() => void child.kill('SIGKILL'));
    const said = await new Promise<string>((resolve) => child.stdout.once('data', (data) => resolve(String(data))));
    return { child, said };
  }

  test('is held once, from whatever process, and free when that is killed', async () => {
    const path = `${directory()}/lock.db`;
    const { child, said } = await inAnotherProcess(path);
    expect(said).toBe('held\n');
    expect(() => holdLock(path)).toThrow(expect.objectContaining({ kind: 'refused' }));
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
    const lock = holdLock(path);
    expect((await inAnotherProcess(path)).said).toContain('refused: Cannot use the state directory');
    lock.release();
    expect((await inAnotherProcess(path)).said).toBe('held\n');
  });

  test('cannot be held where nothing can be written', () => {
    expect(() => holdLock('/nowhere/lock.db')).toThrow(expect.objectContaining({ kind: 'tool' }));
  });
});

describe('the ledger', () => {
  test('an intent written twice is the first one', () => {
    const { ledger } = open();
    const first = ledger.intend(ownedBy('u'), 'tap', 'eth0', { ...INTENTS.tap, device: 'a' });
    ledger.made(first, RESULTS.tap);
    const second = ledger.intend(ownedBy('u'), 'tap', 'eth0', { ...INTENTS.tap, device: 'b' });
    expect(second).toEqual({ ...first, made: true, result: RESULTS.tap });
    expect(ledger.all()).toHaveLength(1);
  });

  test('keeps owners, kinds and keys apart, oldest first', () => {
    const { ledger } = open();
    for (const [owner, kind, key] of [
      ['u', 'tap', 'b'],
      ['u', 'tap', 'a'],
      ['u', 'lease', 'a'],
      ['v', 'tap', 'a'],
    ] as const)
      ledger.intend(ownedBy(owner), kind, key, INTENTS[kind]);
    expect(ledger.of(ownedBy('u')).map(({ kind, key }) => `${kind} ${key}`)).toEqual(['tap b', 'tap a', 'lease a']);
    expect(ledger.ofKind('tap').map(({ owner }) => owner.uid)).toEqual(['u', 'u', 'v']);
    expect(ledger.find(ownedBy('v'), 'tap', 'a')).toMatchObject({ made: false, result: undefined });
    expect(ledger.find(ownedBy('v'), 'tap', 'b')).toBeUndefined();
  });

  test('what was struck out is gone, twice too, and what comes after has a higher number', () => {
    const { ledger } = open();
    const first = ledger.intend(ownedBy('u'), 'tap', 'a', INTENTS.tap);
    ledger.strike(first);
    ledger.strike(first);
    expect(ledger.all()).toEqual([]);
    expect(ledger.intend(ownedBy('u'), 'tap', 'a', INTENTS.tap).entry).toBeGreaterThan(first.entry);
  });

  test('a mark and the state that it belongs to are stored together or not at all', () => {
    const { db, store, ledger } = open();
    add(store, vm(1));
    const entry = ledger.intend(ownedBy(uidOf(1)), 'tap', 'a', INTENTS.tap);
    expect(() =>
      db.transact(() => {
        ledger.made(entry, RESULTS.tap);
        store.update(uidOf(1), () => {
          throw new Error('a bug');
        });
      }),
    ).toThrow('a bug');
    expect(ledger.find(ownedBy(uidOf(1)), 'tap', 'a')?.made).toBe(false);
  });
});

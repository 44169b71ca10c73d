import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { FakeClock } from '../../test/support/fake-clock.ts';
import { FakeHost } from '../../test/support/fake-host.ts';
import { sampleRecord } from '../../test/support/fake-services.ts';
import type { MicroVm, MicroVmView, Progress, State, Uid } from '../domain/microvm.ts';
import type { Metadata } from '../domain/spec.ts';
import { guestSays } from '../domain/transitions.ts';
import type { Store } from '../ports/store.ts';
import type { GuestState, RunningVmm } from '../ports/vmm.ts';
import { list } from './list.ts';
import { type Form, KeptForm, showing } from './shown.ts';

const uidOf = (n: number): Uid => `01JDGZ${String(n).padStart(20, '0')}` as Uid;
const EVERYTHING = { namespace: '', labelSelector: '', pageSize: 0, pageToken: '', showDeleted: true };
/** For some of nine. */
const ROOM = 8 << 10;

/** A form that shows all that a view has. */
const TEXT: Form<string> = { make: (vm) => JSON.stringify(vm), bytesOf: (text) => text.length };

interface House {
  readonly store: Store;
  readonly db: FakeHost['database'];
  readonly clock: FakeClock;
  /** What the VMM of each guest that is watched says. */
  readonly guests: Map<Uid, GuestState>;
  readonly progress: Map<Uid, Progress>;
  /** What is listed in the form that is kept, and how many were made for it. */
  listed(): { readonly vms: readonly MicroVmView[]; readonly made: number };
  /** What is so. */
  truth(): readonly MicroVmView[];
  readonly bytes: () => number;
}

function house(mostBytes?: number): House {
  const { clock, database: db, life } = new FakeHost();
  const { store } = life;
  const guests = new Map<Uid, GuestState>();
  const progress = new Map<Uid, Progress>();
  const context = {
    store,
    clock,
    runDirectory: '/run/fl',
    progress: (uid: Uid) => progress.get(uid),
    running: (uid: Uid) => {
      const guest = guests.get(uid);
      return guest && ({ guest } as RunningVmm);
    },
    // Nobody tells of a change: what is shown is true all the same.
    onChange: () => () => undefined,
  };
  let made = 0;
  const counting = {
    ...TEXT,
    make: (vm: MicroVmView) => {
      made++;
      return TEXT.make(vm);
    },
  };
  const kept = new KeptForm(context, counting, mostBytes);
  return {
    ...{ store, db, clock, guests, progress },
    listed: () => {
      made = 0;
      const { vms } = list(store, EVERYTHING, kept.show);
      return { vms: vms.map((text) => JSON.parse(text) as MicroVmView), made };
    },
    truth: () =>
      JSON.parse(
        JSON.stringify(
          list(
            store,
            EVERYTHING,
            showing(context, (vm) => vm),
          ).vms,
        ),
      ),
    bytes: () => kept.bytes,
  };
}

const RUNNING: State = { is: 'CREATED', reason: 'Running', message: 'The guest runs' };
const PENDING: State = { is: 'PENDING', reason: 'Preparing', message: 'Accepted' };

function record(n: number, state: State, metadata?: Metadata): MicroVm {
  const sample = sampleRecord({ uid: uidOf(n), version: 1, state });
  const bytes = metadata && JSON.stringify(metadata).length;
  return {
    ...sample,
    spec: { ...sample.spec, id: `vm${n}`, ...(bytes !== undefined && { metadataRef: { generation: 1, bytes } }) },
    allocation: { vmmUser: 70_000 + n, interfaces: { eth0: { mac: `52:54:00:00:00:0${n}`, address: `10.77.0.${n}` } } },
  };
}

/** One that runs, shown once. */
function withOne(metadata?: Metadata): House {
  const one = house();
  one.store.create({ vm: record(1, RUNNING, metadata), ...(metadata && { metadata }), uniqueId: true });
  one.guests.set(uidOf(1), 'running');
  expect(one.listed()).toEqual({ vms: one.truth(), made: 1 });
  return one;
}
const change = ({ store }: House, changes: (vm: MicroVm) => MicroVm): void => void store.update(uidOf(1), changes);

describe('what was made of a microVM', () => {
  test('is made once while it is the same', () => {
    const one = withOne({ a: 'YQ==' });
    one.clock.advance(3_600_000);
    expect(one.listed()).toEqual({ vms: one.truth(), made: 0 });
  });

  test.each<[string, (house: House) => void]>([
    ['its record', (it) => change(it, (vm) => ({ ...vm, conditions: [] }))],
    ['its labels', (it) => change(it, (vm) => ({ ...vm, spec: { ...vm.spec, labels: { new: 'yes' } } }))],
    ['its state', (it) => change(it, (vm) => ({ ...vm, state: { is: 'PAUSED', reason: 'Paused', message: '' } }))],
    ['what its VMM says', ({ guests }) => guests.set(uidOf(1), 'paused')],
    ['what its VMM says, which is nothing', ({ guests }) => guests.set(uidOf(1), 'unreachable')],
    ['that nobody watches it', ({ guests }) => void guests.delete(uidOf(1))],
    [
      'what is done for it',
      ({ progress }) => progress.set(uidOf(1), { step: 'pull', since: 1, doneBytes: 2, totalBytes: 3 }),
    ],
    ['that nothing is left of it', ({ store }) => store.gone(uidOf(1))],
    [
      'its metadata',
      ({ store, db }) =>
        db.transact(() => {
          store.update(uidOf(1), (vm) => ({
            ...vm,
            generation: 2,
            spec: { ...vm.spec, metadataRef: { generation: 2, bytes: 9 } },
          }));
          const vm = store.get(uidOf(1));
          if (vm) store.keepMetadata(vm, { b: 'Yg==' });
        }),
    ],
  ])('is made anew when %s is another', (_, act) => {
    const one = withOne({ a: 'YQ==' });
    const before = one.listed().vms;
    act(one);
    const after = one.listed();
    expect(after.vms).not.toEqual(before);
    expect(after).toEqual({ vms: one.truth(), made: 1 });
  });

  test('is not kept while it shows progress: that changes without a word', () => {
    const one = withOne();
    for (const doneBytes of [1, 2, 3]) {
      one.progress.set(uidOf(1), { step: 'pull', since: 1, doneBytes, totalBytes: 3 });
      expect(one.listed()).toEqual({ vms: one.truth(), made: 1 });
    }
    one.progress.clear();
    expect(one.listed()).toEqual({ vms: one.truth(), made: 1 });
    expect(one.listed().made).toBe(0);
  });

  test('is not kept where the clock has a part in it', () => {
    const one = withOne();
    one.store.update(uidOf(1), (vm) => guestSays(vm, 'paused', one.clock.now()));
    // Its VMM says that it goes on, and that is not stored yet: for how long it stood still grows.
    const seen = [5_000, 60_000, 60_000].map((ms) => {
      one.clock.advance(ms);
      expect(one.listed()).toEqual({ vms: one.truth(), made: 1 });
      return one.listed().vms[0]?.state.message;
    });
    expect(seen).toEqual([5, 65, 125].map((s) => expect.stringContaining(`its clock is ${s} s behind`)));
  });

  test('in a transaction that is undone is not what is shown after it, though the version is the same one later', () => {
    const one = withOne();
    const labelled = (value: string) => (vm: MicroVm) => ({ ...vm, spec: { ...vm.spec, labels: { value } } });
    expect(() =>
      one.db.transact(() => {
        change(one, labelled('undone'));
        throw new TypeError('on the way');
      }),
    ).toThrow('on the way');
    expect(one.listed().vms[0]?.spec.labels).toEqual({ app: 'web' });
    change(one, labelled('stored'));
    expect(one.listed().vms[0]?.spec.labels).toEqual({ value: 'stored' });
  });

  test('takes a bounded room, of which nothing is left for what is gone', () => {
    const one = house(ROOM);
    const onChange = one.store.onEvent;
    const kept = new KeptForm(
      { ...one, runDirectory: '', progress: () => undefined, running: () => undefined, onChange },
      TEXT,
      ROOM,
    );
    for (let n = 1; n <= 9; n++) one.store.create({ vm: record(n, PENDING), uniqueId: true });
    const show = () => list(one.store, EVERYTHING, kept.show).vms;
    expect(show()).toHaveLength(9);
    expect(kept.bytes).toBeGreaterThan(ROOM / 2);
    expect(kept.bytes).toBeLessThanOrEqual(ROOM);
    for (let i = 0; i < 20; i++) {
      one.store.update(uidOf((i % 9) + 1), (vm) => ({ ...vm, retry: i }));
      expect(show()).toHaveLength(9);
      expect(kept.bytes).toBeLessThanOrEqual(ROOM);
    }
    for (let n = 1; n <= 9; n++) one.store.gone(uidOf(n));
    expect(kept.bytes).toBe(0);
    expect(show()).toHaveLength(9); // those that are gone are still remembered, for a while
    expect(kept.bytes).toBe(0);
  });

  test('is not kept where it is long', () => {
    const metadata = { a: 'x'.repeat(20_000) };
    const one = withOne(metadata);
    expect(one.bytes()).toBe(0);
    expect(one.listed()).toEqual({ vms: one.truth(), made: 1 });
  });
});

test('whatever happens, what is listed is what is so', () => {
  const n = fc.integer({ min: 1, max: 3 });
  const act = fc.oneof(
    fc.record({
      is: fc.constant('says' as const),
      n,
      guest: fc.constantFrom('running', 'paused', 'held', 'unreachable'),
    }),
    fc.record({ is: fc.constantFrom('stored', 'left', 'label', 'busy', 'idle', 'undone', 'gone', 'later'), n }),
  );
  fc.assert(
    fc.property(fc.array(act, { maxLength: 40 }), (acts) => {
      const it = house(ROOM);
      for (let i = 1; i <= 3; i++) it.store.create({ vm: record(i, i === 3 ? PENDING : RUNNING), uniqueId: true });
      for (const one of acts) {
        const uid = uidOf(one.n);
        const label = (): void =>
          void it.store.update(uid, (vm) => ({ ...vm, spec: { ...vm.spec, labels: { at: `${vm.version}` } } }));
        if (one.is === 'says') it.guests.set(uid, one.guest as GuestState);
        else if (one.is === 'left') it.guests.delete(uid);
        else if (one.is === 'stored') {
          const guest = it.guests.get(uid) ?? 'running';
          it.store.update(uid, (vm) => guestSays(vm, guest, it.clock.now()));
        } else if (one.is === 'label') label();
        else if (one.is === 'busy')
          it.progress.set(uid, { step: 's', since: 0, doneBytes: it.clock.now(), totalBytes: 0 });
        else if (one.is === 'idle') it.progress.delete(uid);
        else if (one.is === 'gone') it.store.gone(uid);
        else if (one.is === 'later') it.clock.advance(7_000);
        else
          expect(() =>
            it.db.transact(() => {
              it.store.update(uid, (vm) => ({ ...vm, retry: vm.retry + 1 }));
              throw new TypeError('undone');
            }),
          ).toThrow('undone');
        expect(it.listed().vms).toEqual(it.truth());
      }
      it.db.close();
    }),
    { numRuns: 60 },
  );
});

import { describe, expect, test } from 'vitest';
import { type CrashPoint, FakeHost, fullDraft } from '../../test/support/fake-host.ts';
import { HOST_STEP_KINDS, VM_STEP_KINDS } from '../domain/ledger.ts';

const CLEAN = { leaked: [], missing: [], fixed: [] };

/** All that a daemon holds in memory is lost at every point between two writes; the next one keeps its word. */
const whileMade: readonly CrashPoint[] = [...VM_STEP_KINDS, ...HOST_STEP_KINDS].flatMap((kind) =>
  (['intent', 'act', 'mark'] as const).map((at) => ({ kind, at })),
);
/** In the order in which they come. */
const whileUnmade: readonly CrashPoint[] = [
  ...VM_STEP_KINDS.toReversed().flatMap((kind) => (['undo', 'strike'] as const).map((at) => ({ kind, at }))),
  { at: 'before gone' },
  { at: 'after gone' },
];
const nameOf = (point: CrashPoint): string => ('kind' in point ? `after the ${point.at} of ${point.kind}` : point.at);

/** What has a disk for its metadata has no interface that may ask for it. */
function createFor(host: FakeHost, point: CrashPoint): ReturnType<FakeHost['create']> {
  if ('kind' in point && point.kind.startsWith('macvtap')) {
    const onParent = {
      name: 'eth1',
      type: 'MACVTAP',
      allowMetadata: true,
      address: '192.0.2.5/24',
      publishedPorts: [],
    };
    return host.create({ interfaces: [...fullDraft.interfaces, onParent] });
  }
  if (!('kind' in point) || point.kind !== 'cidata') return host.create();
  const interfaces = fullDraft.interfaces.map((nic) => ({ ...nic, allowMetadata: false }));
  return host.create({ interfaces, metadata: { 'user-data': 'IyEvYmluL3No' } });
}

/** Each thing that is on the host came to be once: nothing was made, lost and made again. */
function expectOnce(host: FakeHost): void {
  expect([...host.world.made].filter(([, times]) => times !== 1)).toEqual([]);
  expect(host.world.breaches).toEqual([]);
}

async function expectNothingLeft(host: FakeHost, uid: Parameters<FakeHost['vm']>[0]): Promise<void> {
  expect(host.world.thingsOf(uid)).toEqual([]);
  expect(host.ledgerOf(uid)).toEqual([]);
  expect(await host.audit()).toMatchObject(CLEAN);
}

describe.each(whileMade.map((point) => [nameOf(point), point] as const))('killed %s', (_, point) => {
  test('the next daemon ends the create, each effect once, and the delete leaves nothing', async () => {
    const host = new FakeHost();
    host.crashAt(point);
    const uid = await createFor(host, point);
    await host.killed();
    await host.restart();
    await host.until(uid, 'CREATED');
    expectOnce(host);
    expect(host.world.vmmsOf(uid)).toHaveLength(1);
    expect(host.ledgerOf(uid).every((entry) => entry.made)).toBe(true);
    expect(await host.audit()).toMatchObject(CLEAN);
    await host.delete(uid);
    await host.until(uid, 'gone');
    await expectNothingLeft(host, uid);
  });

  test('a delete in the next daemon leaves nothing', async () => {
    const host = new FakeHost();
    host.crashAt(point);
    const uid = await createFor(host, point);
    await host.killed();
    const restarted = host.restart();
    await host.delete(uid);
    await restarted;
    await host.until(uid, 'gone');
    await expectNothingLeft(host, uid);
    expect(host.world.breaches).toEqual([]);
  });
});

test.each(whileUnmade.map((point) => [nameOf(point), point] as const))(
  'killed %s, the next daemon ends the delete',
  async (_, point) => {
    const host = new FakeHost();
    const uid = await createFor(host, point);
    await host.until(uid, 'CREATED');
    host.crashAt(point);
    await host.delete(uid);
    await host.killed();
    await host.restart();
    await host.until(uid, 'gone');
    await expectNothingLeft(host, uid);
    expectOnce(host);
  },
);

test('killed again and again, at every point in turn, it still ends', async () => {
  const host = new FakeHost();
  const isOfAll = (point: CrashPoint): boolean => !('kind' in point && point.kind === 'cidata');
  const isOfHost = (point: CrashPoint): boolean =>
    'kind' in point && HOST_STEP_KINDS.some((kind) => kind === point.kind);
  const making = whileMade.filter(isOfAll);
  const of = (at: string, points: readonly CrashPoint[]) => points.filter((point) => point.at === at);
  const [first = [], last = []] = [false, true].map((isLast) =>
    making.filter((point) => !isOfHost(point) && ('kind' in point && point.kind === 'vmm') === isLast),
  );
  // What is made side by side is intended at once, with the record, and marked at once, with the intent of the last; what is made once for the host, within its acts.
  const inTurn = [
    ...of('intent', first).slice(0, 1),
    ...making.filter(isOfHost),
    ...of('act', first),
    ...of('mark', first).slice(0, 1),
    ...last.filter(({ at }) => at !== 'intent'),
  ];
  const unmaking = whileUnmade.filter(isOfAll);
  // And struck out together, with the record's end.
  const undone = [...of('undo', unmaking), ...of('before gone', unmaking), ...of('strike', unmaking).slice(0, 1)];
  const lives = async (points: readonly CrashPoint[], begin: () => Promise<unknown>): Promise<void> => {
    for (const [i, point] of points.entries()) {
      host.crashAt(point);
      await (i === 0 ? begin() : host.restart());
      await host.killed();
    }
    await host.restart();
  };
  const created = Promise.withResolvers<Awaited<ReturnType<FakeHost['create']>>>();
  await lives(inTurn, async () => created.resolve(await createFor(host, { kind: 'macvtap', at: 'intent' })));
  const uid = await created.promise;
  await host.until(uid, 'CREATED');
  expectOnce(host);
  await lives(undone, () => host.delete(uid));
  await host.until(uid, 'gone');
  await expectNothingLeft(host, uid);
});

test('a daemon that is killed while others are made and run leaves those as they are', async () => {
  const host = new FakeHost();
  const running = await host.create({ id: 'running' });
  await host.until(running, 'CREATED');
  const [pid] = host.world.vmmsOf(running);
  host.crashAt({ kind: 'volume', at: 'act' });
  const made = await host.create({ id: 'made' });
  await host.killed();
  await host.restart();
  await host.until(made, 'CREATED');
  expect(host.vm(running).state.is).toBe('CREATED');
  expect(host.world.vmmsOf(running)).toEqual([pid]);
  expectOnce(host);
});

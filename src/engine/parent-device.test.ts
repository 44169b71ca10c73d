import { expect, test } from 'vitest';
import { eventually } from '../../test/support/fake-clock.ts';
import { FakeHost } from '../../test/support/fake-host.ts';
import { fakeNetwork } from '../../test/support/fake-network.ts';
import { HOST_OWNER } from '../domain/ledger.ts';
import { DIRECT } from '../ports/acts.ts';
import { NetworkHealth } from './network-health.ts';
import { ParentDevice } from './parent-device.ts';

const never = new AbortController().signal;
const lan = { name: 'lan0', type: 'MACVTAP', allowMetadata: true, publishedPorts: [] };

/** A guest on a parent, and who looks after it. */
async function setUp() {
  const host = new FakeHost();
  const { world, clock, log, names } = host;
  world.interfaces.set('par0', { device: 'par0', index: 2, mac: '', alias: '', kind: 'veth', master: '' });
  const uid = await host.create({ interfaces: [lan] });
  await host.until(uid, 'CREATED');
  const { ledger, store } = host.life;
  const network = fakeNetwork(world, host.life);
  const health = new NetworkHealth({ store, clock });
  const news = { onNews: () => () => undefined, isTold: () => false };
  const parentAt = (parent: string) =>
    new ParentDevice({ parent, names, ledger, network, news, health, clock, log, acts: DIRECT });
  const device = `flabcd${uid.slice(-6).toLowerCase()}0`;
  return { host, uid, device, parent: parentAt('par0'), parentAt };
}
type Up = Awaited<ReturnType<typeof setUp>>;

const ready = ({ host, uid }: Up) => host.vm(uid).conditions.find(({ type }) => type === 'NetworkReady');

/** One look from its beginning to its end. */
async function look({ host }: Up): Promise<void> {
  const before = host.clock.waiting;
  host.clock.advance(2_000);
  await eventually('it has looked', () => host.clock.waiting >= before || undefined);
}

test('only a macvtap needs its tables and its way to metadata, and no bridge', async () => {
  const { host, uid } = await setUp();
  expect(host.ledgerOf(uid).map(({ kind }) => kind)).toEqual(
    expect.arrayContaining(['macvtap', 'macvtap-metadata', 'vmm']),
  );
  expect(host.life.ledger.of(HOST_OWNER).map(({ kind }) => kind)).toEqual(['macvtap-guards', 'macvtap-path']);
  expect([...host.world.tables]).toEqual(['netdev flintlock_abcd_macvtap', 'inet flintlock_abcd_macvtap']);
  expect(await host.audit()).toMatchObject({ leaked: [], missing: [] });
});

test('a parent that vanished is told of with each guest that lost its interface, and the delete ends', async () => {
  const up = await setUp();
  const { host, uid, device, parent } = up;
  parent.start();
  await look(up);
  expect(ready(up)?.status).toBe('True');
  for (const gone of ['par0', device, 'flabcdmd']) host.world.interfaces.delete(gone);
  await look(up);
  await eventually('it is told', () => ready(up)?.status === 'False' || undefined);
  expect(ready(up)).toMatchObject({
    reason: 'NetworkFailed',
    message: 'Interface "lan0" is lost, its parent par0 is gone: stop and start the microVM when it is back',
  });
  const { version } = host.vm(uid);
  await look(up);
  expect(host.vm(uid).version).toBe(version); // once
  expect(host.log.lines.filter(({ message }) => message.includes('the parent is gone'))).toHaveLength(1);
  parent.release();
  await host.delete(uid);
  await host.until(uid, 'gone');
  expect(host.world.thingsOf(uid)).toEqual([]);
});

test('tables that were swept away are made again, and what stood in them', async () => {
  const up = await setUp();
  const { host, parent } = up;
  parent.start();
  host.world.tables.clear();
  host.world.calls.length = 0;
  await look(up);
  await eventually('they are there', () => host.world.calls.includes('macvtap-metadata') || undefined);
  expect(host.world.calls).toEqual(['macvtap-guards', 'macvtap-guards', 'macvtap-path', 'macvtap', 'macvtap-metadata']);
  expect([...host.world.tables]).toHaveLength(2);
  parent.release();
});

test('a parent that is not fit is refused with the words of the host', async () => {
  const { host, parent } = await setUp();
  host.world.parentUnfit = 'There is no interface par0';
  await expect(parent.ensure(never)).rejects.toMatchObject({
    reason: 'NetworkFailed',
    message: 'There is no interface par0',
  });
});

test('the way to metadata moves to another parent when nobody is left on the first', async () => {
  const { host, uid, parentAt } = await setUp();
  const other = parentAt('par1');
  await expect(other.ensureService(never)).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringContaining('--parent-iface par0'),
  });
  await host.delete(uid);
  await host.until(uid, 'gone');
  await other.ensureService(never);
  expect(host.life.ledger.find(HOST_OWNER, 'macvtap-path', '')?.intent).toMatchObject({ parent: 'par1' });
});

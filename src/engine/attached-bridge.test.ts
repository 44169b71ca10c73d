import { expect, test } from 'vitest';
import { eventually } from '../../test/support/fake-clock.ts';
import { FakeHost } from '../../test/support/fake-host.ts';
import { fakeNetwork } from '../../test/support/fake-network.ts';
import { ownedBy, RESULTS } from '../../test/support/ledger-rows.ts';
import { HOST_OWNER } from '../domain/ledger.ts';
import { DIRECT } from '../ports/acts.ts';
import type { HostInterface } from '../ports/network.ts';
import { AttachedBridge } from './attached-bridge.ts';
import { Bridges } from './bridges.ts';
import { NetworkHealth } from './network-health.ts';

const never = new AbortController().signal;

/** What both need beside the network. */
const looking = ({ names, clock, log, life: { ledger, store } }: FakeHost) => ({
  ...{ names, ledger, clock, log, acts: DIRECT },
  news: { onNews: () => () => undefined, isTold: () => false },
  health: new NetworkHealth({ store, clock }),
});

/** A bridge of others, with one tap of ours that the ledger names. */
async function setUp() {
  const host = new FakeHost();
  const { world } = host;
  const { ledger } = host.life;
  let missing: string | undefined;
  const network = { ...fakeNetwork(world, host.life), bridgeMissing: async () => missing };
  const attached = new AttachedBridge({ ...looking(host), network, bridge: 'br0' });
  const put = (device: string, kind: string, master: string): void => {
    const made: HostInterface = { device, index: 9, mac: '', alias: '', kind, master };
    world.interfaces.set(device, made);
  };
  put('br0', 'bridge', '');
  const tap = { device: 'flabcdxxxxxx0', bridge: 'br0', alias: 'a' };
  await attached.ensure(never);
  ledger.made(ledger.intend(ownedBy('vm'), 'tap', 'eth0', tap), RESULTS.tap);
  await network.addTap(tap, never);
  const lose = (words: string): void => {
    missing = words;
  };
  return { host, attached, put, tap, lose };
}

test('it makes the guards alone, and says what is wrong with the bridge', async () => {
  const { host, attached, lose } = await setUp();
  expect(host.life.ledger.of(HOST_OWNER).map(({ kind }) => kind)).toEqual(['guards']);
  expect([...host.world.tables]).toEqual(['bridge flintlock_abcd']);
  lose('There is no bridge br0');
  await expect(attached.ensure(never)).rejects.toMatchObject({
    kind: 'tool',
    reason: 'NetworkFailed',
    message: 'There is no bridge br0',
  });
});

test('a bridge that vanished is told of once; when it is back its taps are plugged again', async () => {
  const { host, attached, put, tap } = await setUp();
  const { world, clock, log } = host;
  const lines = (part: string): number => log.lines.filter(({ message }) => message.includes(part)).length;
  attached.start();
  world.interfaces.delete('br0');
  put(tap.device, 'tun', '');
  for (let i = 0; i < 3; i++) {
    await eventually('it waits', () => clock.waiting === 1);
    clock.advance(2_000);
  }
  await eventually('it waits', () => clock.waiting === 1);
  expect(lines('the bridge is gone')).toBe(1);
  world.interfaces.delete(tap.device); // the fake's addTap leaves what is there
  put(tap.device, 'tun', '');
  put('br0', 'bridge', '');
  world.calls.length = 0;
  clock.advance(2_000);
  await eventually('it is plugged', () => world.calls.includes('tap'));
  expect(lines('the bridge is back')).toBe(1);
  attached.release();
  put(tap.device, 'tun', 'br0');
  await eventually('no timer is left', () => clock.waiting === 0);
});

test('guards that were swept away are made again', async () => {
  const { host, attached } = await setUp();
  attached.start();
  host.world.tables.clear();
  host.clock.advance(2_000);
  await eventually('they are there', () => host.world.tables.has('bridge flintlock_abcd'));
  attached.release();
});

test('bridges that single interfaces asked for are looked after by the next daemon too, the managed one is not', async () => {
  const { host, put, tap } = await setUp();
  const { world, clock } = host;
  const { ledger } = host.life;
  ledger.made(
    ledger.intend(ownedBy('vm'), 'tap', 'eth1', { ...tap, device: 'flabcdxxxxxx1', bridge: 'flabcdbr' }),
    RESULTS.tap,
  );
  world.interfaces.delete(tap.device); // the fake's addTap leaves what is there
  put(tap.device, 'tun', '');
  const network = { ...fakeNetwork(world, host.life), bridgeMissing: async () => undefined };
  const bridges = new Bridges({ ...looking(host), network });
  bridges.start('flabcdbr');
  expect(bridges.at('br0')).toBe(bridges.at('br0'));
  expect(clock.waiting).toBe(1);
  world.calls.length = 0;
  clock.advance(2_000);
  await eventually('it is plugged', () => world.calls.includes('tap'));
  bridges.release();
});

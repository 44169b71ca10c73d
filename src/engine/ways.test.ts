import { expect, test } from 'vitest';
import { eventually } from '../../test/support/fake-clock.ts';
import { FakeHost } from '../../test/support/fake-host.ts';
import { fakeNetwork } from '../../test/support/fake-network.ts';
import { INTENTS, ownedBy } from '../../test/support/ledger-rows.ts';
import { Fault } from '../domain/fault.ts';
import { parseCidr } from '../domain/ipv4.ts';
import { HOST_OWNER } from '../domain/ledger.ts';
import type { Meter } from '../ports/meter.ts';
import { NO_METER } from '../ports/meter.ts';
import type { WayFound } from '../ports/network-probe.ts';
import type { News } from '../ports/network-watch.ts';
import { NetworkHealth } from './network-health.ts';
import { probeIntent } from './probe-intent.ts';
import { Ways } from './ways.ts';

const blocked: WayFound = {
  way: 'dns',
  is: 'blocked',
  why: 'the chain x refuses it',
  remedy: 'nft insert rule x',
  isSure: true,
};

async function setUp(options: { readonly isPortTaken?: boolean } = {}) {
  const host = new FakeHost();
  const { world, clock, log, names } = host;
  const { ledger, store } = host.life;
  const uid = await host.create();
  await host.until(uid, 'CREATED');
  host.life.network.release(); // it has a say in the condition, too
  const listeners = new Set<(news: News) => void>();
  const written: string[] = [];
  const metered: string[] = [];
  const meter: Meter = { ...NO_METER, wayTried: (way, is) => void metered.push(`${way} ${is}`) };
  const ways = new Ways({
    ...{ names, ledger, clock, log, meter, everyMs: 60_000 },
    network: fakeNetwork(world, host.life),
    news: {
      onNews(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      isTold: () => true,
    },
    health: new NetworkHealth({ store, clock }),
    metadata: {
      async serve() {
        if (options.isPortTaken) throw new Fault('tool', 'taken');
      },
      unserve: async () => undefined,
    },
    files: {
      async write(_path, data) {
        written.push(String(data));
      },
      remove: async () => undefined,
    },
  });
  const ready = () => host.vm(uid).conditions.find(({ type }) => type === 'NetworkReady');
  const warnings = () => log.lines.filter(({ level }) => level === 'warn').map(({ message }) => message);
  let tries = 0;
  /** Lets time go on until it has tried once more. */
  const tried = async (ms: number): Promise<void> => {
    clock.advance(ms);
    await eventually('it has tried', () => written.length > tries);
    tries = written.length;
  };
  const tell = (news: News): void => {
    for (const listener of listeners) listener(news);
  };
  return { host, world, ways, ready, warnings, tried, tell, written, metered, ledger, log };
}

test('what it finds is a condition, a line of the log once, a metric and a file; and so is its end', async () => {
  const { world, ways, ready, warnings, tried, written, metered, ledger, log } = await setUp();
  world.waysFound = [{ way: 'dhcp', is: 'open' }, blocked];
  ways.start();
  await tried(2_000);
  expect(ledger.find(HOST_OWNER, 'probe', '')).toMatchObject({
    made: true,
    intent: { device: 'flabcdprobe', lease: { address: '10.77.0.254' } },
  });
  const message =
    'Guests are cut off from the DNS server: the chain x refuses it. To let them through: nft insert rule x';
  await eventually('it is told', () => ready()?.status === 'False');
  expect(ready()).toMatchObject({ reason: 'NetworkBlocked', message });
  expect(metered).toEqual(['dhcp open', 'dns blocked']);
  expect(JSON.parse(written[0] ?? '')).toMatchObject({ found: [{ way: 'dhcp', is: 'open' }, blocked] });
  await tried(60_000);
  expect(warnings().filter((line) => line.includes('DNS'))).toEqual([
    'guests are cut off from the DNS server: the chain x refuses it',
  ]);
  world.waysFound = [
    { way: 'dhcp', is: 'open' },
    { way: 'dns', is: 'open' },
  ];
  await tried(60_000);
  await eventually('it is well', () => ready()?.status === 'True');
  expect(log.lines.map((line) => line.message)).toContain('guests reach all that they need again');
  ways.release();
});

test('what the host itself lacks is said, and is no fault of the network', async () => {
  const { world, ways, ready, warnings, tried } = await setUp();
  world.waysFound = [{ way: 'out', is: 'absent', why: 'the host itself has no route to the outside' }];
  ways.start();
  await tried(2_000);
  expect(warnings()).toContain('guests do not reach the outside: the host itself has no route to the outside');
  expect(ready()?.status).toBe('True');
  ways.release();
});

test('it is tried again soon after a change, and not without end', async () => {
  const { world, ways, tried, tell, host, written } = await setUp();
  world.waysFound = [{ way: 'dhcp', is: 'open' }];
  ways.start();
  await tried(2_000);
  tell('others');
  host.clock.advance(9_000); // a moment ago it was tried
  expect(written).toHaveLength(1);
  await tried(1_000);
  tell('ours');
  tell('others');
  await tried(10_000);
  ways.release();
  tell('others');
  host.clock.advance(120_000);
  expect(written).toHaveLength(3);
});

test('where nobody was found who refuses it, it is told when it is found again', async () => {
  const { world, ways, ready, tried } = await setUp();
  world.waysFound = [
    { way: 'dhcp', is: 'open' },
    { ...blocked, isSure: false },
  ];
  ways.start();
  await tried(2_000);
  expect(ready()?.status).toBe('True');
  await tried(10_000);
  await eventually('it is told', () => ready()?.status === 'False');
  ways.release();
});

test('a network too small for it, and one whose last address a guest has, have none', () => {
  const { names, life } = new FakeHost();
  const { ledger } = life;
  const of = (text: string) => {
    const cidr = parseCidr(text);
    return cidr && probeIntent({ names, cidr, ledger })?.lease.address;
  };
  expect(of('10.77.0.0/29')).toBeUndefined();
  expect(of('10.77.0.0/28')).toBe('10.77.0.14');
  ledger.intend(ownedBy('uid'), 'lease', 'eth0', { ...INTENTS.lease, address: '10.77.0.14' });
  expect(of('10.77.0.0/28')).toBeUndefined();
});

test('where another has its port nothing is said of the metadata service', async () => {
  const { world, ways, ready, tried, written } = await setUp({ isPortTaken: true });
  world.waysFound = [
    { way: 'dhcp', is: 'open' },
    { way: 'metadata', is: 'blocked', why: 'x', remedy: 'y', isSure: true },
  ];
  ways.start();
  await tried(2_000);
  expect(JSON.parse(written[0] ?? '').found).toEqual([{ way: 'dhcp', is: 'open' }]);
  expect(ready()?.status).toBe('True');
  ways.release();
});

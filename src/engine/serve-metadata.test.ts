import { describe, expect, test, vi } from 'vitest';
import { eventually, FakeClock, turn } from '../../test/support/fake-clock.ts';
import { FakeHost } from '../../test/support/fake-host.ts';
import { INTENTS, ownedBy } from '../../test/support/ledger-rows.ts';
import { memoryLedger } from '../../test/support/memory-ledger.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { Fault } from '../domain/fault.ts';
import type { NetworkHealth } from './network-health.ts';
import { serveMetadata } from './serve-metadata.ts';

test('the next daemon serves whom the one before served, until they are gone', async () => {
  const host = new FakeHost();
  const uid = await host.create();
  await host.until(uid, 'CREATED');
  const { metadataPort } = host.vm(uid).allocation;
  expect(metadataPort).toBe(20_000);
  expect([...host.life.served]).toEqual([[uid, metadataPort]]);
  await host.restart();
  expect([...host.life.served]).toEqual([[uid, metadataPort]]);
  await host.delete(uid);
  await host.until(uid, 'gone');
  expect([...host.life.served]).toEqual([]);
  const next = await host.create();
  expect(host.vm(next).allocation.metadataPort).toBe(20_001); // the one before rests
});

test('what cannot be had yet is tried again, and keeps none of the others', async () => {
  const [clock, log, ledger] = [new FakeClock(), memoryLog(), memoryLedger()];
  for (const [owner, port] of [
    ['A', 1],
    ['B', 2],
  ] as const)
    ledger.made(ledger.intend(ownedBy(owner), 'metadata', '', { ...INTENTS.metadata, port }), null);
  ledger.intend(ownedBy('C'), 'metadata', '', { ...INTENTS.metadata, port: 3 }); // not marked: its step runs again
  const served: string[] = [];
  let isThere = false;
  const server = {
    async serve(uid: string) {
      if (uid === 'A' && !isThere) throw new Fault('tool', 'no such address yet');
      served.push(uid);
    },
    async unserve() {},
  };
  const stop = new AbortController();
  const [health, onTaken] = [{ tell: vi.fn<NetworkHealth['tell']>() }, vi.fn()];
  await serveMetadata({ ledger, server, health, clock, log, onTaken }, stop.signal);
  expect(served).toEqual(['B']);
  const again = async (times: number): Promise<void> => {
    for (let i = 0; i < times; i++) {
      clock.advance(2_000);
      for (let turns = 0; turns < 10; turns++) await turn();
    }
  };
  // While the host starts that is as it should be; where it stays it is told once, and in the record.
  await again(3);
  expect([log.lines, health.tell.mock.calls]).toEqual([[], []]);
  await again(20);
  expect(log.lines).toMatchObject([{ level: 'warn', fields: { uid: 'A', why: 'no such address yet' } }]);
  expect([...(health.tell.mock.lastCall?.[2] ?? [])]).toEqual([
    ['A', { reason: 'NetworkFailed', message: 'no such address yet' }],
  ]);
  isThere = true;
  await again(1);
  expect(served).toContain('A');
  expect(clock.waiting).toBe(0);
  expect(log.lines.at(-1)).toMatchObject({ level: 'info', fields: { uid: 'A' } });
  expect(health.tell.mock.lastCall?.[2].size).toBe(0);
  expect(onTaken).not.toHaveBeenCalled();
});

describe('a port that another program of the host has', () => {
  const way = (host: FakeHost): string[] => [...host.world.ways].map((one) => one.split(' to ')[1] ?? '');

  test('is passed over for the next, at once, however many there are', async () => {
    const host = new FakeHost();
    for (const port of [20_000, 20_001, 20_002]) host.world.takenPorts.add(port);
    const uid = await host.create();
    await host.until(uid, 'CREATED');
    expect(host.vm(uid).allocation.metadataPort).toBe(20_003);
    expect([...host.life.served]).toEqual([[uid, 20_003]]);
    expect(way(host)).toEqual(['20003']);
    expect(host.clock.next).toBeGreaterThan(host.clock.now() + 1_000); // no attempt waits for its time
    const other = await host.create({ id: 'other' });
    await host.until(other, 'CREATED');
    expect(host.vm(other).allocation.metadataPort).toBe(20_004);
    for (const one of [uid, other]) {
      await host.delete(one);
      await host.until(one, 'gone');
    }
    expect(way(host)).toEqual([]);
    expect(await host.audit()).toMatchObject({ leaked: [], missing: [] });
  });

  test('is given up by a guest that runs, which does not notice, when it was taken while no daemon ran', async () => {
    const host = new FakeHost();
    const uid = await host.create();
    await host.until(uid, 'CREATED');
    host.world.takenPorts.add(20_000);
    await host.restart();
    await eventually('it is served elsewhere', () => host.life.served.get(uid) === 20_001);
    await eventually('it is led there', () => way(host).join() === '20001');
    expect(host.vm(uid)).toMatchObject({ state: { is: 'CREATED' }, allocation: { metadataPort: 20_001 } });
    expect(host.log.lines.filter(({ level }) => level === 'warn')).toEqual([]);
    expect(await host.audit()).toMatchObject({ leaked: [], missing: [] });
    // Ended between the old way and the new one, the next daemon makes the new one.
    const entry = host.ledgerOf(uid).find(({ kind }) => kind === 'metadata');
    if (entry) host.life.ledger.strike(entry);
    host.world.ways.clear();
    host.world.takenPorts.clear();
    await host.restart();
    await eventually('it is led there again', () => way(host).join() === '20001');
  });
});

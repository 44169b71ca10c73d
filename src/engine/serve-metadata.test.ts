import { expect, test } from 'vitest';
import { FakeClock, turn } from '../../test/support/fake-clock.ts';
import { FakeHost } from '../../test/support/fake-host.ts';
import { memoryLedger } from '../../test/support/memory-ledger.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { Fault } from '../domain/fault.ts';
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
    ledger.made(ledger.intend(owner, 'metadata', '', { address: '10.77.0.1', port }), null);
  ledger.intend('C', 'metadata', '', { address: '10.77.0.1', port: 3 }); // not marked: its step runs again
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
  await serveMetadata({ ledger, server, clock, log }, stop.signal);
  expect(served).toEqual(['B']);
  isThere = true;
  clock.advance(2_000);
  for (let i = 0; i < 10; i++) await turn();
  expect(served).toEqual(['B', 'A', 'B']);
  expect(clock.waiting).toBe(0);
});

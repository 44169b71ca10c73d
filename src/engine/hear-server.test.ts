import { expect, test, vi } from 'vitest';
import { eventually, FakeClock } from '../../test/support/fake-clock.ts';
import { INTENTS, ownedBy } from '../../test/support/ledger-rows.ts';
import { memoryLedger } from '../../test/support/memory-ledger.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { HOST_OWNER } from '../domain/ledger.ts';
import type { ServerNews } from '../ports/network.ts';
import { hearServer } from './hear-server.ts';

const well: ServerNews = { troubles: [], resolvers: ['192.0.2.53'], isChanged: false };

test('a trouble is told once with whose it is, and again when it was away; so are missing DNS servers', async () => {
  const [clock, log, ledger] = [new FakeClock(), memoryLog(), memoryLedger()];
  const serverNews = vi.fn<() => Promise<ServerNews>>().mockResolvedValue(well);
  const meter = { serverTrouble: vi.fn(), resolvers: vi.fn() };
  const stop = hearServer({ network: { serverNews }, ledger, meter, clock, log });
  const look = async (news: ServerNews = well, ms = 2_000): Promise<readonly string[]> => {
    const before = log.lines.length;
    serverNews.mockResolvedValue(news);
    clock.advance(ms);
    await eventually('it has looked', () => clock.waiting === 1);
    return log.lines.slice(before).map(({ level, message }) => `${level}: ${message}`);
  };
  await look();
  expect(serverNews).not.toHaveBeenCalled(); // there is no network yet
  ledger.made(ledger.intend(HOST_OWNER, 'dhcp', '', INTENTS.dhcp), null);
  ledger.made(ledger.intend(ownedBy('01UID'), 'lease', 'eth0', { ...INTENTS.lease, address: '10.77.0.9' }), null);
  expect(await look({ ...well, isChanged: true })).toEqual([]); // as every first time

  const withheld = { kind: 'address-withheld', words: 'disabling DHCP static address 10.77.0.9 for 10m' } as const;
  expect(await look({ ...well, troubles: [withheld, withheld] })).toEqual([
    expect.stringMatching(/^warn: an address is not given to its guest/),
  ]);
  expect(log.lines.at(-1)?.fields).toEqual({ said: withheld.words, uid: '01UID' });
  expect(await look({ ...well, troubles: [withheld] })).toEqual([]);
  expect(meter.serverTrouble.mock.calls).toEqual([['address-withheld'], ['address-withheld'], ['address-withheld']]);
  await look(well, 600_000);
  expect(await look({ ...well, troubles: [withheld] })).toHaveLength(1);

  const none: ServerNews = { troubles: [], resolvers: [], isChanged: true, wrong: '/etc/resolv.conf is not there' };
  expect(await look(none)).toEqual([expect.stringMatching(/^warn: there is no DNS server/)]);
  expect(await look(none)).toEqual([]);
  expect(await look({ ...well, isChanged: true })).toEqual([expect.stringMatching(/^info: the host's DNS servers/)]);
  expect(meter.resolvers.mock.calls.map(([count]) => count).slice(-3)).toEqual([0, 0, 1]);

  serverNews.mockRejectedValueOnce(new Error('no'));
  expect(await look()).toEqual(['warn: the DHCP server could not be listened to']);
  stop();
  expect(clock.waiting).toBe(0);
});

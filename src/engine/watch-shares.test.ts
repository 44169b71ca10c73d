import { expect, test, vi } from 'vitest';
import { eventually } from '../../test/support/fake-clock.ts';
import { FakeHost } from '../../test/support/fake-host.ts';
import type { OverShare, Shares } from '../ports/network.ts';
import { watchShares } from './watch-shares.ts';

test('whose guest asks for more than its share is told once, in its record as long as it does, and counted', async () => {
  const host = new FakeHost();
  const [greedy, modest] = [await host.create({ id: 'greedy' }), await host.create({ id: 'modest' })];
  for (const uid of [greedy, modest]) await host.until(uid, 'CREATED');
  const { ledger, store } = host.life;
  const overShares = vi.fn<Shares['overShares']>().mockResolvedValue([]);
  const meter = { overShare: vi.fn() };
  const { clock, log, names } = host;
  const stop = watchShares({ network: { overShares }, names, ledger, store, meter, clock, log });
  const look = async (found: readonly OverShare[]): Promise<void> => {
    const calls = overShares.mock.calls.length;
    const waiting = clock.waiting;
    overShares.mockResolvedValueOnce(found);
    clock.advance(15_000);
    await eventually('it has looked', () => overShares.mock.calls.length > calls && clock.waiting >= waiting);
  };
  const told = () => log.lines.filter(({ message }) => message.includes('share'));
  const ready = (uid: typeof greedy) => host.vm(uid).conditions.find(({ type }) => type === 'NetworkReady');
  const { address = '' } = host.vm(greedy).allocation.interfaces.eth0 ?? {};
  const device = `flabcd${greedy.slice(-6).toLowerCase()}0`;

  await look([{ share: 'dns', address }]);
  expect(told()).toMatchObject([{ level: 'warn', fields: { uid: greedy, id: 'greedy' } }]);
  expect(ready(greedy)).toMatchObject({
    ...{ status: 'True', reason: 'ShareExceeded' },
    message: expect.stringMatching(/^It asks for more than its share of DNS questions \(100 a second, 500 at once\)/),
  });
  expect(ready(modest)).toMatchObject({ reason: 'Preparing' });
  expect(meter.overShare.mock.lastCall?.[0]).toMatchObject({ dns: 1, dhcp: 0 });

  await look([{ share: 'dns', address }]);
  expect(told()).toHaveLength(1);
  await look([
    { share: 'dns', address },
    { share: 'dhcp', device },
    { share: 'metadata', port: host.vm(greedy).allocation.metadataPort ?? 0 },
    { share: 'dns', address: '10.77.0.250' }, // of one that was deleted meanwhile
  ]);
  expect(told()).toHaveLength(2);
  expect(ready(greedy)?.message).toMatch(/DNS questions .* and of DHCP messages .* and of connections to the metadata/);

  await look([]);
  expect(told().at(-1)).toMatchObject({ level: 'info', fields: { uid: greedy } });
  expect(ready(greedy)).toMatchObject({ status: 'True', reason: 'Preparing' });
  stop();
});

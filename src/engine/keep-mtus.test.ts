import { expect, test, vi } from 'vitest';
import { eventually, FakeClock } from '../../test/support/fake-clock.ts';
import { ownedBy, RESULTS } from '../../test/support/ledger-rows.ts';
import { memoryLedger } from '../../test/support/memory-ledger.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { Fault } from '../domain/fault.ts';
import type { Network } from '../ports/network.ts';
import { keepMtus } from './keep-mtus.ts';

test('is looked at from time to time while there are taps; a change is told, and a failure once', async () => {
  const [clock, log, ledger] = [new FakeClock(), memoryLog(), memoryLedger()];
  const fitMtus = vi.fn<Network['fitMtus']>().mockResolvedValue([]);
  const stop = keepMtus({ network: { fitMtus }, ledger, own: 'flabcdbr', clock, log });
  const look = async (): Promise<void> => {
    clock.advance(10_000);
    await eventually('it has looked', () => clock.waiting === 1);
  };
  await look();
  expect(fitMtus).not.toHaveBeenCalled();

  const tap = { device: 'flabcdx0', bridge: 'flabcdbr', alias: 'flintlock:abcd:uid=1' };
  const entry = ledger.intend(ownedBy('1'), 'tap', 'eth0', tap);
  await look();
  expect(fitMtus).not.toHaveBeenCalled(); // it is being made
  ledger.made(entry, RESULTS.tap);
  fitMtus.mockResolvedValueOnce([{ device: 'flabcdbr', mtu: 1_400 }]);
  await look();
  expect(fitMtus.mock.lastCall?.slice(0, 2)).toEqual(['flabcdbr', [tap]]);
  expect(log.lines.map(({ message }) => message)).toEqual([expect.stringContaining('the MTU has changed')]);

  fitMtus.mockRejectedValue(new Fault('tool', 'ip is away'));
  await look();
  await look();
  expect(log.lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
  stop();
  expect(clock.waiting).toBe(0);
});

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { eventually } from '../../test/support/fake-clock.ts';
import { FakeHost } from '../../test/support/fake-host.ts';
import { FAKE_CIDR, fakeNetwork } from '../../test/support/fake-network.ts';
import { DIRECT } from '../ports/acts.ts';
import { AttachedBridge } from './attached-bridge.ts';
import { HostNetwork } from './host-network.ts';
import { keepMtus } from './keep-mtus.ts';
import { NetworkHealth } from './network-health.ts';
import { ParentDevice } from './parent-device.ts';
import { watchShares } from './watch-shares.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => void vi.useRealTimers());

/** What each of them asks the host, and never gets. */
async function setUp() {
  const host = new FakeHost();
  const { clock, log, names } = host;
  const { ledger, store } = host.life;
  const uid = await host.create();
  await host.until(uid, 'CREATED');
  const signals: AbortSignal[] = [];
  const never = (signal: AbortSignal): Promise<never> => {
    signals.push(signal);
    const { promise, reject } = Promise.withResolvers<never>();
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    return promise;
  };
  const network = {
    ...fakeNetwork(host.world, host.life),
    flaws: (_: unknown, signal: AbortSignal) => never(signal),
    fitMtus: (_own: unknown, _taps: unknown, signal: AbortSignal) => never(signal),
    overShares: (_: unknown, signal: AbortSignal) => never(signal),
  };
  const news = { onNews: () => () => undefined, isTold: () => false };
  const deps = { names, ledger, store, network, news, clock, log, acts: DIRECT, meter: { overShare: () => {} } };
  return { host, signals, deps: { ...deps, health: new NetworkHealth({ store, clock }) } };
}

type Deps = Awaited<ReturnType<typeof setUp>>['deps'] & { readonly patience: number };
const started = (one: { start(): void; release(): void }) => {
  one.start();
  return () => one.release();
};

test.each<[string, number, (deps: Deps) => () => void]>([
  ['the managed network', 120_000, (deps) => started(new HostNetwork({ ...deps, cidr: FAKE_CIDR }))],
  ['a host’s bridge', 120_000, (deps) => started(new AttachedBridge({ ...deps, bridge: 'br0' }))],
  [
    'a parent device',
    120_000,
    (deps) => {
      const network = { ...deps.network, interfaces: (signal: AbortSignal) => deps.network.flaws(undefined, signal) };
      return started(new ParentDevice({ ...deps, network, parent: 'par0' }));
    },
  ],
  ['the MTUs', 120_000, (deps) => keepMtus({ ...deps, own: 'flabcdbr' })],
  ['the shares', 20_000, (deps) => watchShares(deps)],
])('on a slow host a look at %s has as many times as long', async (_, limitMs, begin) => {
  const { host, signals, deps } = await setUp();
  const stop = begin({ ...deps, patience: 3 });
  await eventually('it looks', () => {
    if (signals.length === 0) host.clock.advance(15_000);
    return signals.length > 0;
  });
  vi.advanceTimersByTime(3 * limitMs - 1);
  expect(signals[0]?.aborted).toBe(false);
  vi.advanceTimersByTime(1);
  expect(signals[0]?.aborted).toBe(true);
  stop();
});

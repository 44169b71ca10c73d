import { expect, test } from 'vitest';
import { FakeHost } from '../../test/support/fake-host.ts';
import { fakeNetwork } from '../../test/support/fake-network.ts';
import { vmOwner } from '../domain/ledger.ts';
import { restorePorts } from './restore-ports.ts';

const signal = new AbortController().signal;

/** What the network of one microVM was swept away from, and what would make it again. */
async function swept() {
  const host = new FakeHost();
  const uid = await host.create();
  await host.until(uid, 'CREATED');
  const { ledger } = host.life;
  const network = fakeNetwork(host.world, host.life);
  const [tap] = ledger.ofKind('tap');
  if (!tap) throw new Error('it has no tap');
  host.world.interfaces.delete(tap.intent.device);
  const isThere = (): boolean => host.world.interfaces.has(tap.intent.device);
  return { host, uid, ledger, network, isThere };
}

test('what was swept away is made again', async () => {
  const { ledger, network, isThere } = await swept();
  await restorePorts({ ledger, network }, 'bridge', signal);
  expect(isThere()).toBe(true);
});

test('what is being taken away is not made again, whether that began before or meanwhile', async () => {
  const { uid, ledger, network, isThere } = await swept();
  const entries = ledger.of(vmOwner(uid));
  {
    using _leaving = ledger.leaving(entries);
    await restorePorts({ ledger, network }, 'bridge', signal);
    expect(isThere()).toBe(false);
  }
  const addTap: typeof network.addTap = async (tap, within) => {
    const made = await network.addTap(tap, within);
    ledger.leaving(entries); // its undo came before, and is not struck out yet
    return made;
  };
  await restorePorts({ ledger, network: { ...network, addTap } }, 'bridge', signal);
  expect(isThere()).toBe(false);
});

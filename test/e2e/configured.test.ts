import { expect, test } from 'vitest';
import type { MicroVM } from '../../src/gen/types/microvm_pb.ts';
import { demoSpec, startHost } from '../support/daemon.ts';

const CONFIGURED = 5;
const configuredOf = (vm: MicroVM | undefined) => {
  const found = vm?.status?.conditions.find(({ type }) => type === 'GuestConfigured');
  return `${found?.status} ${found?.reason}`;
};

test('what a guest says while no daemon runs is known to the next one, and stays known to the one after', async (t) => {
  const host = await startHost(t);
  const vm = await host.create(demoSpec('web', { interfaces: [{ guestDeviceName: 'lan0', type: 1 }] }));
  const uid = vm.spec?.uid ?? '';
  await host.until(uid, 'CREATED');
  await host.stop();
  await host.start();
  const timeout = { seconds: 120n };
  const { microvm } = await host.vms.waitMicroVM({ uid, until: CONFIGURED, timeout });
  expect(configuredOf(microvm)).toBe('True Configured');
  const before = microvm?.status?.conditions.find(({ type }) => type === 'GuestConfigured');
  await host.stop();
  await host.start();
  await host.until(uid, 'CREATED');
  const after = (await host.get(uid)).status?.conditions.find(({ type }) => type === 'GuestConfigured');
  expect(after).toEqual(before);
});

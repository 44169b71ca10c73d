import { expect, test } from 'vitest';
import { FakeHost } from '../../test/support/fake-host.ts';

test('a microVM is made, step by step, and CREATED once its VMM says that the guest runs', async () => {
  const host = new FakeHost();
  const uid = await host.create();
  const vm = await host.until(uid, 'CREATED');
  expect(vm.made).toMatchObject({ provider: 'qemu', accelerator: 'tcg' });
  expect(host.world.breaches).toEqual([]);
  await host.delete(uid);
  await host.until(uid, 'gone');
  expect(host.world.thingsOf(uid)).toEqual([]);
});

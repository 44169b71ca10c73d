/** Lives of microVMs over providers that are stand-ins: from the API to the program and back, with the audit clean. */
import { create } from '@bufbuild/protobuf';
import { expect, type TestContext, test } from 'vitest';
import { MicroVMSpecSchema, NetworkInterfaceSchema } from '../../src/gen/types/microvm_pb.ts';
import { demoSpec, poll, startHost, type TestHost } from '../support/daemon.ts';
import { STAND_INS, standInHost } from '../support/stand-in-providers.ts';

const CLEAN = { leaked: [], missing: [], fixed: [] };

async function hostWith(t: TestContext, flags: readonly string[]): Promise<TestHost> {
  const standIns = standInHost();
  t.onTestFinished(() => standIns.remove());
  return startHost(t, {
    ...standIns.options,
    flags: ['--managed-network', '10.77.0.0/24', '--parent-iface', 'up0', ...standIns.flags, ...flags],
    prepare: async (host) => {
      await standIns.options.prepare(host);
      await host.tool('ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up1');
      for (const name of ['up0', 'up1']) await host.tool('ip', 'link', 'set', name, 'up');
    },
  });
}

test.for(STAND_INS)('$name: a life from create to delete', async ({ name }, t) => {
  const host = await hostWith(t, ['--default-provider', name]);
  const { providers } = await host.host.serverInfo({});
  expect(providers.find((one) => one.name === name)).toMatchObject({ available: true, unavailableReason: '' });

  const made = await host.create(demoSpec('one'));
  const uid = made.spec?.uid ?? '';
  const vm = await host.until(uid, 'CREATED');
  expect(vm.status).toMatchObject({ provider: name, accelerator: 'kvm' });
  await host.untilConsole(uid, /^stand-in: up cpus=1/);
  expect(await host.console(uid)).toMatch(/^disk vda ro=0 /m);
  await host.type(uid, 'typed by a user', host.untilConsole(uid, /^typed by a user/));
  await host.vms.pauseMicroVM({ uid });
  await host.until(uid, 'PAUSED');
  await host.vms.resumeMicroVM({ uid });
  await host.until(uid, 'CREATED');
  expect(await host.audit()).toEqual(CLEAN);

  // It runs on, and the next daemon has it.
  await host.kill9();
  await host.start();
  await host.until(uid, 'CREATED');
  await host.type(uid, 'typed again', host.untilConsole(uid, /^typed again/));
  expect(await host.audit()).toEqual(CLEAN);

  await host.vms.rebootMicroVM({ uid });
  await poll('it has booted twice', 60_000, async () => {
    const ups = (await host.console(uid)).split('stand-in: up').length - 1;
    return ups === 2 ? { is: ups } : { not: String(ups) };
  });
  await host.until(uid, 'CREATED');
  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid);
  expect(await host.audit()).toEqual(CLEAN);
});

test('what the first of a list cannot do goes to the first that can, and a dry run says why', async (t) => {
  const host = await hostWith(t, ['--default-provider', 'firecracker,qemu']);
  const macvtap = create(NetworkInterfaceSchema, { guestDeviceName: 'eth1', type: 0 });
  const spec = create(MicroVMSpecSchema, { ...demoSpec('two'), interfaces: [macvtap] });
  const { plan } = await host.vms.createMicroVM({ microvm: spec, validateOnly: true });
  expect(plan.join('\n')).toMatch(/note: not firecracker, which lacks what is asked: interfaces\[0\]\.type: /);
  const uid = (await host.create(spec)).spec?.uid ?? '';
  expect((await host.until(uid, 'CREATED')).status?.provider).toBe('qemu');
  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid);
  expect(await host.audit()).toEqual(CLEAN);
});

test('a MACVTAP is given to Cloud Hypervisor open, beside a TAP, in the order of the spec', async (t) => {
  const host = await hostWith(t, ['--default-provider', 'firecracker,cloudhypervisor']);
  const spec = create(MicroVMSpecSchema, {
    ...demoSpec('three'),
    interfaces: [
      create(NetworkInterfaceSchema, { guestDeviceName: 'eth0', type: 0 }),
      create(NetworkInterfaceSchema, { guestDeviceName: 'eth1', type: 1 }),
    ],
  });
  const uid = (await host.create(spec)).spec?.uid ?? '';
  expect((await host.until(uid, 'CREATED')).status?.provider).toBe('cloudhypervisor');
  await host.untilConsole(uid, /^stand-in: up/);
  // A macvtap's queue has the name of its interface; both have IFF_TAP, IFF_NO_PI and IFF_VNET_HDR.
  const seen = [...(await host.console(uid)).matchAll(/^nic (eth\d) .* device=(\S+)\/(\d+)\r?$/gm)];
  expect(seen.map(([, name]) => name)).toEqual(['eth0', 'eth1']);
  for (const [, , device, flags] of seen) {
    expect(device).not.toBe('none');
    expect(Number(flags) & 0x5002).toBe(0x5002);
  }
  expect(await host.audit()).toEqual(CLEAN);
  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid);
  expect(await host.audit()).toEqual(CLEAN);
});

import { expect, test } from 'vitest';
import { makeImage } from '../../guest/make-image.ts';
import { type MicroVM, MicroVMSpec_RestartPolicy as Policy } from '../../src/gen/types/microvm_pb.ts';
import { demoSpec, poll, startHost, type TestHost } from '../support/daemon.ts';
import { leaveToProofs } from '../support/proofs.ts';

const CLEAN = { leaked: [], missing: [], fixed: [] };

/** A root whose guests count their boots on their own disk. */
const countingRoot = (host: TestHost, script = ''): string =>
  makeImage({
    layout: `${host.images}/counting`,
    tag: 'v1',
    demo: true,
    files: {
      '/etc/flintlock/run': {
        mode: 0o755,
        content: `#!/bin/sh
echo boot >>/boots; sync
echo "boots=$(wc -l </boots) mac=$(cat /sys/class/net/eth0/address 2>/dev/null)"
${script}
`,
      },
    },
  });
const volumesOf = (containerSource: string) => [{ id: 'root', isRoot: true, source: { containerSource } }];
const identity = (vm: MicroVM) => [vm.status?.networkInterfaces.eth0?.guestMac, vm.status?.volumes.root?.mount?.source];

async function untilRestarted(host: TestHost, uid: string, retry: number): Promise<MicroVM> {
  return poll(`${uid} runs again`, 60_000, async () => {
    const vm = await host.get(uid);
    const isSo = vm.status?.state === 1 && vm.status.retry === retry;
    return isSo ? { is: vm } : { not: `${vm.status?.reason} ${vm.status?.retry}: ${vm.status?.message}` };
  });
}

test('a guest whose VMM is killed comes back on its disk, MAC and address, again under the next daemon', async (t) => {
  leaveToProofs(t); // kill.test.ts has the death, the boot of the host below the disk and addresses
  const host = await startHost(t);
  const volumes = volumesOf(countingRoot(host));
  const uid = (await host.create(demoSpec('one', { volumes }))).spec?.uid ?? '';
  await host.untilConsole(uid, /boots=1 /);
  const before = (await host.vms.waitMicroVM({ uid, until: 4 })).microvm;
  if (!before) throw new Error('no record');
  const address = before.status?.networkInterfaces.eth0?.addresses;

  process.kill(host.vmm(uid), 'SIGKILL');
  const dead = await host.untilReason(uid, 'VmmKilled');
  expect(dead.state).toBe(0);
  expect(dead.message).toContain('started again (restart_policy ON_FAILURE)');
  expect(dead.consoleTail).toContain('boots=1');
  expect(dead.nextRetryAt).toBeDefined();
  const line = await host.untilConsole(uid, /boots=2 /);
  const after = await host.get(uid);
  expect(line).toContain(`mac=${after.status?.networkInterfaces.eth0?.guestMac}`);
  expect(identity(after)).toEqual(identity(before));
  expect(after.status?.networkInterfaces.eth0?.addresses).toEqual(address);
  expect(after.status).toMatchObject({ state: 1, retry: 1 });
  expect(after.status?.message).toContain('again, after VmmKilled');
  expect(host.vmms(uid)).toHaveLength(1);
  expect(await host.audit()).toEqual(CLEAN);

  // Its end is not seen by any daemon.
  await host.kill9();
  process.kill(host.vmm(uid), 'SIGKILL');
  await host.start();
  await host.untilReason(uid, 'CrashLoop');
  await untilRestarted(host, uid, 2);
  await host.untilConsole(uid, /boots=3 /);
  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid);
  expect(await host.audit()).toEqual(CLEAN);
});

test('a guest that powers off is started again under ALWAYS, and a delete ends its loop', async (t) => {
  leaveToProofs(t); // conformance's machine/restart_policy-always
  const host = await startHost(t);
  const volumes = volumesOf(countingRoot(host, 'poweroff -f'));
  const uid =
    (await host.create(demoSpec('loop', { volumes, interfaces: [], restartPolicy: Policy.ALWAYS }))).spec?.uid ?? '';
  await host.untilConsole(uid, /boots=2 /, 120_000);
  expect((await host.untilReason(uid, 'CrashLoop')).message).toContain('GuestShutdown');
  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid, 5_000);
  expect(await host.audit()).toEqual(CLEAN);
});

test('after a boot of the host everything comes back by its policy', async (t) => {
  const host = await startHost(t);
  const volumes = volumesOf(countingRoot(host));
  const [back, left] = await Promise.all([
    host.create(
      demoSpec('back', {
        volumes,
        metadata: { 'instance-id': Buffer.from('i-1').toString('base64') },
        interfaces: [
          {
            guestDeviceName: 'eth0',
            type: 1,
            allowMetadataReq: true,
            publishedPorts: [{ hostPort: 8080, guestPort: 80 }],
          },
        ],
      }),
    ),
    host.create(demoSpec('left', { restartPolicy: Policy.NEVER })),
  ]).then((vms) => vms.map((vm) => vm.spec?.uid ?? ''));
  if (back === undefined || left === undefined) throw new Error('not created');
  await host.untilConsole(back, /boots=1 /);
  await host.until(left, 'CREATED');
  const before = await host.get(back);

  await host.boot();
  await host.start();
  const lost = await host.until(left, 'FAILED');
  expect(lost.status).toMatchObject({ reason: 'VmmVanished', message: expect.stringContaining('booted anew') });
  const after = await untilRestarted(host, back, 1);
  expect(identity(after)).toEqual(identity(before));
  await host.untilConsole(back, /boots=2 /);
  expect(
    (await host.vms.waitMicroVM({ uid: back, until: 4 })).microvm?.status?.networkInterfaces.eth0?.addresses,
  ).toEqual(before.status?.networkInterfaces.eth0?.addresses);
  expect(await host.tool('nft', 'list', 'ruleset')).toMatch(/8080/);
  const { leaked } = await host.audit();
  expect(leaked).toEqual([]);
  for (const uid of [back, left]) await host.vms.deleteMicroVM({ uid });
  for (const uid of [back, left]) await host.untilGone(uid);
  expect(await host.audit()).toEqual(CLEAN);
});

/** A microVM in a jail, from the API to the program in it, over what befalls process, daemon and host. */
import { readFileSync, statSync } from 'node:fs';
import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { makeImage } from '../../guest/make-image.ts';
import { NetworkInterfaceSchema } from '../../src/gen/types/microvm_pb.ts';
import { idleKernel } from '../faults/idle-kernel.ts';
import { poll, startHost, type TestHost } from '../support/daemon.ts';
import { standInHost } from '../support/stand-in-providers.ts';

const CLEAN = { leaked: [], missing: [], fixed: [] };

/** Of the one that is not among `but`. */
async function jailed(host: TestHost, uid: string, but: readonly number[] = []): Promise<number> {
  return poll('a jailed process', 60_000, async () => {
    const [pid, ...others] = host.vmms(uid).filter((one) => !but.includes(one));
    if (pid === undefined || others.length > 0) return { not: `${pid} and ${others.length} more` };
    const isInJail = statSync(`/proc/${pid}/root/`).ino !== statSync('/').ino;
    return isInJail ? { is: pid } : { not: 'its root is the host’s' };
  });
}

test('a jailed microVM lives over its process, its daemon and its host, and nothing of its jail is ever on the host', {
  timeout: 600_000,
}, async (t) => {
  const standIns = standInHost();
  t.onTestFinished(() => standIns.remove());
  const host = await startHost(t, {
    ...standIns.options,
    flags: ['--managed-network', '10.77.0.0/24', ...standIns.flags, '--default-provider', 'firecracker'],
  });
  const { providers } = await host.host.serverInfo({});
  expect(providers.find(({ name }) => name === 'firecracker')?.capabilities).toContain('jail');

  const image = makeImage({ layout: `${host.images}/idle`, tag: 'v1', files: { '/boot/vmlinux': idleKernel() } });
  const root = { id: 'root', isRoot: true, sizeInMb: 16, source: { containerSource: image } };
  const shared = { id: 'shared', isReadOnly: true, sizeInMb: 16, source: { containerSource: image } };
  const spec = { id: 'a', vcpu: 1, memoryInMb: 64, kernel: { image }, volumes: [root, shared] };
  const nic = create(NetworkInterfaceSchema, { guestDeviceName: 'eth0', type: 1 });
  const uid = (await host.create({ ...spec, interfaces: [nic] })).spec?.uid ?? '';
  await host.until(uid, 'CREATED');
  await host.untilConsole(uid, /disk vdb ro=1/);
  const nothingMounted = async (): Promise<void> => {
    expect(await host.tool('cat', '/proc/self/mountinfo')).not.toMatch(/flintlock-jail/);
    expect(await host.audit()).toEqual(CLEAN);
  };
  const first = await jailed(host, uid);
  // In its cgroup since before it was Firecracker.
  expect(readFileSync(`/proc/${first}/cgroup`, 'utf8')).toContain(uid);
  await nothingMounted();

  // Its process ends: another jail.
  process.kill(first, 'SIGKILL');
  const second = await jailed(host, uid, [first]);
  await host.untilReason(uid, 'Running');
  await nothingMounted();

  // Its daemon ends: the same jail.
  await host.kill9();
  await host.start();
  await host.until(uid, 'CREATED');
  expect(await jailed(host, uid)).toBe(second);
  await nothingMounted();

  // Its host is booted: what there was of mounts is gone, and that is no fault.
  await host.boot();
  await host.start();
  const third = await jailed(host, uid, [second]);
  await host.until(uid, 'CREATED');
  await nothingMounted();

  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid);
  expect(host.vmms(uid)).not.toContain(third);
  await nothingMounted();
});

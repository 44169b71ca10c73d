import { join } from 'node:path';
import { expect, test } from 'vitest';
import { heardOn } from '../conformance/report.ts';
import { idleKernel } from '../faults/idle-kernel.ts';
import { newc } from '../support/boot-bytes.ts';
import { poll, ROOT, startHost } from '../support/daemon.ts';
import { makeHostInGuest } from '../support/host-in-guest.ts';
import { writeLayout } from '../support/oci-layout.ts';
import { leaveToProofs } from '../support/proofs.ts';

/** Version 2 as systemd mounts it, and with the one controller that it hands down everywhere. */
const SCRIPT = `
dmesg -n 1
mount -t cgroup2 none /sys/fs/cgroup
echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
exec node /inside.ts`;
/** 30 s on an idle machine without KVM. */
const REPORT_MS = 420_000;

/** Whatever cgroups this machine has: the guest's are version 2 and nothing else. */
test('of version 2 a VMM has a cgroup of its own, and OutOfMemory at its limit: a daemon in a guest', {
  timeout: 900_000,
}, async (t) => {
  leaveToProofs(t); // reasons.test.ts where the host has version 2; the trees of cgroups.host.test.ts
  const host = await startHost(t, { flags: ['--managed-network', 'none'] });
  const idle = join(host.directory, 'idle');
  const layer = [
    { name: 'vmlinux', data: idleKernel() },
    { name: 'initrd', data: newc() },
  ];
  await writeLayout(idle, { v1: { layers: [layer] } });
  const image = makeHostInGuest({
    layout: join(host.images, 'host'),
    tag: 'v1',
    scratch: join(host.directory, 'scratch'),
    script: SCRIPT,
    copies: { '/inside.ts': join(import.meta.dirname, 'cgroup2-inside.ts'), '/images/idle': idle },
  });
  const { spec } = await host.create({
    id: 'host',
    vcpu: 2,
    memoryInMb: 1_024,
    kernel: { image: `oci:${ROOT}/.cache/images/kernel:latest`, cmdline: 'quiet' },
    volumes: [{ id: 'root', isRoot: true, sizeInMb: 1_024, source: { containerSource: image } }],
  });
  const vm = spec?.uid ?? '';
  await host.until(vm, 'CREATED', REPORT_MS);
  await host.untilConsole(vm, /report: end=/, REPORT_MS);
  const report = await poll('a report has come through whole', 30_000, async () => {
    const console = await host.console(vm);
    const [found] = heardOn(console).reports;
    return found ? { is: found } : { not: console.slice(-2_000) };
  });
  const said = (kind: string): unknown => {
    const text = report.text(kind);
    return text === 'nothing' ? undefined : JSON.parse(text);
  };
  expect(said('error')).toBeUndefined();
  expect(said('init_in')).toBe('0::/');

  const [uid, place] = [said('uid'), String(said('vmm_in'))];
  expect(said('before')).toEqual([]); // the daemon tries it out, and leaves nothing
  expect(said('vmm')).toMatch(/qemu/);
  expect(place).toMatch(new RegExp(`^0::/flintlock-[a-z0-9]+/${uid}$`));
  expect(said('others')).toEqual([]);
  const limits = {
    // 32 MiB of guest, and all that a QEMU may need beside it under software emulation.
    'memory.max': String((32 + 256 + 1 + 1_152) * 2 ** 20),
    'pids.max': '129',
    'cgroup.controllers': 'cpu memory pids',
  };
  expect(said('limits')).toEqual(limits);
  expect(said('tasks')).toBeGreaterThan(1);
  expect(said('used')).toBeGreaterThan(8 << 20); // what it took before it was moved would be missing

  expect(said('reason')).toBe('OutOfMemory');
  expect(said('message')).toContain(`cgroup ${place.slice('0::'.length)} has reached its limit`);
  expect(said('limits_again')).toEqual(limits);
  expect(said('kills_again')).toBe('0');
  expect(said('after')).toEqual([]);

  expect(said('judged')).toEqual({ doctor: expect.stringMatching(/^ok version 2 with .*\bmemory\b.*\bpids\b/) });
  expect(said('judged_in_container')).toEqual({
    doctor: expect.stringMatching(/^warn version 2, but processes are in the topmost cgroup/),
    why: expect.stringMatching(/cgroup\.subtree_control.*(EBUSY|busy)/),
  });
});

import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeImage } from '../../guest/make-image.ts';
import { MicroVMStatus_MicroVMState as State } from '../../src/gen/types/microvm_pb.ts';
import { strike } from '../support/boot-bytes.ts';
import { DEMO_ROOT, demoSpec, poll, type SpecInit, startHost, type TestHost } from '../support/daemon.ts';

/**
 * Kernels that others made, by the directory that FLINTLOCK_TEST_KERNELS
 * names: each `vmlinux…` and `bzImage…` in it is a kernel for x86-64 with
 * ext4 built in, as those that are published for Firecracker are. One that a
 * dry run has nothing against must come up with all that the spec gives it;
 * of one that it warns of, the status must say what became of it.
 */
const directory = process.env.FLINTLOCK_TEST_KERNELS;
const files =
  directory === undefined ? ['of others'] : readdirSync(directory).filter((name) => /vmlinux|bzImage/.test(name));
const why = directory === undefined ? ' (skipped: FLINTLOCK_TEST_KERNELS names no directory with kernels)' : '';

/** The command line that Liquid Metal's clients send with such a kernel. */
const THEIRS = 'reboot=k panic=1 pci=off i8042.noaux i8042.nomux i8042.nopnp i8042.dumbkbd';
const BOOT_MS = 200_000;

function isElf(file: string): boolean {
  if (directory === undefined) return true;
  const head = Buffer.alloc(4);
  const from = openSync(join(directory, file), 'r');
  readSync(from, head, 0, 4, 0);
  closeSync(from);
  return head.equals(Buffer.from('\x7fELF', 'latin1'));
}

test
  .skipIf(why !== '')
  .for(
    files.flatMap((file) => [
      { file, note: 'as it is' },
      ...(isElf(file) ? [{ file, note: 'without its PVH note' }] : []),
    ]),
  )(`$file, $note, does what a dry run lets expect${why}`, { timeout: 800_000 }, async ({ file, note }, t) => {
  const bytes = readFileSync(join(directory ?? '', file));
  const kernel = note === 'as it is' ? bytes : strike(bytes);
  const host = await startHost(t);
  const image = makeImage({ layout: `${host.images}/given`, tag: 'v1', files: { '/boot/vmlinux': kernel } });
  const pulled = [];
  for await (const answer of host.imageService.pullImage({ reference: image })) pulled.push(answer);
  const { plan } = await host.vms.createMicroVM({ microvm: spec(image), validateOnly: true });
  const warnings = plan.filter((line) => line.startsWith('warning'));

  const { spec: made } = await host.create(spec(image));
  const uid = made?.uid ?? '';
  if (warnings.length === 0) await comesUp(host, uid);
  else await says(host, uid);
  const { status } = await host.get(uid);
  if (note !== 'as it is') expect(status?.kernelMount?.source).toMatch(/\/images\/kernels\/sha256-/);

  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid);
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
});

/** With every virtual CPU, disk and interface, at each of its starts. */
async function comesUp(host: TestHost, uid: string): Promise<void> {
  const whole = /flintlock-guest: up ip=[\d.]+,[\d.]+,[\d.]+ volumes=vda:rw,vdb:ro,vdc:rw,vdd:rw .*cpus=2 /g;
  const times = (count: number) =>
    poll(`it is up ${count} times`, BOOT_MS, async () => {
      const text = await host.console(uid);
      const ups = text.match(/flintlock-guest: up .*/g) ?? [];
      if (ups.length < count) return { not: `${ups.length} times; ${text.slice(-800)}` };
      return { is: [ups.length, text.match(whole)?.length ?? 0, ups] as const };
    });
  const up = (count: number) => times(count).then((found) => expect(found).toEqual([count, count, found[2]]));
  await up(1);
  await host.vms.rebootMicroVM({ uid });
  await up(2);
  await host.type(uid, 'reboot', up(3));
}

/** That it cannot: by its state, or by the condition that nothing was seen of it. One that can after all is no fault. */
const says = (host: TestHost, uid: string): Promise<string> =>
  poll('it is told what became of it', BOOT_MS, async () => {
    const { status } = await host.get(uid);
    const life = status?.conditions.find(({ type }) => type === 'GuestAlive');
    const isUp = /flintlock-guest: up /.test(await host.console(uid));
    if (isUp || status?.state === State.FAILED || life?.status === 'False')
      return { is: `${isUp ? 'up' : status?.reason}` };
    return { not: `${status?.reason}: ${status?.message}` };
  });

/** With as many devices as a machine without ACPI has room for. */
const spec = (image: string): SpecInit =>
  demoSpec('given', {
    vcpu: 2,
    memoryInMb: 192,
    kernel: { image, cmdline: THEIRS },
    initrd: undefined as unknown as NonNullable<SpecInit['initrd']>,
    volumes: [
      { id: 'root', isRoot: true, source: { containerSource: DEMO_ROOT } },
      { id: 'data', isReadOnly: true, source: { containerSource: DEMO_ROOT } },
      { id: 'more', source: { containerSource: DEMO_ROOT } },
      { id: 'most', source: { containerSource: DEMO_ROOT } },
    ],
    interfaces: ['eth0', 'eth1', 'eth2'].map((guestDeviceName) => ({ guestDeviceName, type: 1 })),
  });

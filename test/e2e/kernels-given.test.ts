import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeImage } from '../../guest/make-image.ts';
import { strike } from '../support/boot-bytes.ts';
import { DEMO_ROOT, demoSpec, poll, type SpecInit, startHost } from '../support/daemon.ts';

/**
 * Kernels that others made, by the directory that FLINTLOCK_TEST_KERNELS
 * names: each file in it is an ELF kernel for x86-64 with virtio and ext4
 * built in, as those that are published for Firecracker are.
 */
const directory = process.env.FLINTLOCK_TEST_KERNELS;
const files = directory === undefined ? ['of others'] : readdirSync(directory).filter((name) => /vmlinux/.test(name));
const why = directory === undefined ? ' (skipped: FLINTLOCK_TEST_KERNELS names no directory with kernels)' : '';

/** The command line that Liquid Metal's clients send with such a kernel. */
const THEIRS = 'reboot=k panic=1 pci=off i8042.noaux i8042.nomux i8042.nopnp i8042.dumbkbd';
const BOOT_MS = 200_000;

test.skipIf(why !== '').for(
  files.flatMap((file) => [
    { file, note: 'as it is' },
    { file, note: 'without its PVH note' },
  ]),
)(`$file, $note, boots and reboots in place${why}`, { timeout: 500_000 }, async ({ file, note }, t) => {
  const bytes = readFileSync(join(directory ?? '', file));
  const kernel = note === 'as it is' ? bytes : strike(bytes);
  const host = await startHost(t);
  const image = makeImage({ layout: `${host.images}/given`, tag: 'v1', files: { '/boot/vmlinux': kernel } });
  const { spec: made } = await host.create(spec(image));
  const uid = made?.uid ?? '';
  await host.untilConsole(uid, /flintlock-guest: up .*volumes=vda:rw,vdb:ro/, BOOT_MS);
  const { status } = await host.get(uid);
  if (note !== 'as it is') expect(status?.kernelMount?.source).toMatch(/\/images\/kernels\/sha256-/);

  await host.vms.rebootMicroVM({ uid });
  await poll('it is up again', BOOT_MS, async () => {
    const ups = (await host.console(uid)).match(/flintlock-guest: up /g)?.length ?? 0;
    return ups > 1 ? { is: true } : { not: `up ${ups} times` };
  });
  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid);
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
});

const spec = (image: string): SpecInit =>
  demoSpec('given', {
    kernel: { image, cmdline: THEIRS },
    initrd: undefined as unknown as NonNullable<SpecInit['initrd']>,
    volumes: [
      { id: 'root', isRoot: true, source: { containerSource: DEMO_ROOT } },
      { id: 'data', isReadOnly: true, source: { containerSource: DEMO_ROOT } },
    ],
  });

import { existsSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { makeImage } from '../../guest/make-image.ts';
import { marksOf } from '../../src/images/boot/kernel-parts.ts';
import { bzImage, elf, pvhElf, strike } from '../support/boot-bytes.ts';
import { DEMO_ROOT, demoSpec, KERNEL, poll, ROOT, type SpecInit, startHost, type TestHost } from '../support/daemon.ts';
import { fileOfImage } from '../support/layout-file.ts';
import { leaveToProofs } from '../support/proofs.ts';

const SMALL = `oci:${ROOT}/.cache/images/kernel:latest`;

/** What the guest's machine is, by its monitor's arguments. */
const machineOf = (host: TestHost, uid: string): string | undefined => {
  const argv = host
    .processes()
    .find(({ argv: words }) => words.includes('-machine') && words.join(' ').includes(uid))?.argv;
  return argv?.[argv.indexOf('-machine') + 1];
};
const conditionOf = async (host: TestHost, uid: string): Promise<string | undefined> =>
  (await host.get(uid)).status?.conditions.find(({ type }) => type === 'ImagesReady')?.message;

/** Of a guest under software emulation, on a machine with much else to do. */
const BOOT_MS = 200_000;

describe('a kernel as Firecracker has them', { timeout: 500_000 }, () => {
  let small: Buffer;
  beforeAll(() => {
    // Made by `npm run images kernel`; "npm test" sees to it.
    if (!existsSync(`${ROOT}/.cache/images/kernel/index.json`)) throw new Error('run "npm run images kernel" first');
    small = fileOfImage(SMALL, 'boot/vmlinux');
  });

  test('without a PVH note and without ACPI code boots, reboots in place and goes without a trace', async (t) => {
    const host = await startHost(t);
    const image = makeImage({
      layout: `${host.images}/fc`,
      tag: 'v1',
      files: { '/boot/vmlinux': strike(small, marksOf('acpi')), '/boot/vmlinuz-1.0': 'no kernel' },
    });
    const plan = await host.vms.createMicroVM({ microvm: { ...spec('fc', image) }, validateOnly: true });
    expect(plan.plan.filter((line) => line.startsWith('note'))).toEqual([]); // it is not in the cache yet
    const { spec: made } = await host.create(spec('fc', image));
    const uid = made?.uid ?? '';
    await host.untilConsole(uid, /flintlock-guest: up .*volumes=vda:rw,vdb:ro/, BOOT_MS);
    const { status } = await host.get(uid);
    expect(status?.kernelFilename).toBe('boot/vmlinux');
    expect(status?.kernelMount?.source).toMatch(/\/images\/kernels\/sha256-/);
    expect(machineOf(host, uid)).toBe('microvm,acpi=off');
    expect(await conditionOf(host, uid)).toMatch(
      /^Made. Kernel boot\/vmlinux has no PVH entry point.* The machine has no ACPI, because its kernel has no ACPI code/,
    );

    const planned = await host.vms.createMicroVM({ microvm: { ...spec('two', image) }, validateOnly: true });
    expect(planned.plan.join('\n')).toMatch(/Kernel boot\/vmlinux has no PVH entry point.*\n.*no ACPI code/);

    // A machine without ACPI is reset in place: the entry point finds memory as the last run left it.
    await host.vms.rebootMicroVM({ uid });
    await poll('it is up again', BOOT_MS, async () => {
      const ups = (await host.console(uid)).match(/flintlock-guest: up /g)?.length ?? 0;
      return ups > 1 ? { is: true } : { not: `up ${ups} times` };
    });

    await host.vms.deleteMicroVM({ uid });
    await host.untilGone(uid);
    await host.imageService.pruneImages({});
    expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
  });

  test('of a distribution, with ACPI and an initrd, boots', async (t) => {
    const host = await startHost(t);
    const image = makeImage({
      layout: `${host.images}/debian`,
      tag: 'v1',
      files: { '/vmlinux': strike(fileOfImage(KERNEL, 'boot/vmlinux')) },
    });
    const { spec: made } = await host.create(
      demoSpec('debian', { memoryInMb: 160, kernel: { image, cmdline: 'quiet' } }),
    );
    const uid = made?.uid ?? '';
    await host.untilConsole(uid, /flintlock-guest: up /, BOOT_MS);
    expect(machineOf(host, uid)).toBe('microvm,acpi=on');
    expect(await conditionOf(host, uid)).toMatch(/^Made. Kernel vmlinux has no PVH entry point.*put before it$/);
  });
});

test('an initrd that ends where the memory ends is no harm', { timeout: 300_000 }, async (t) => {
  leaveToProofs(t); // the layout's own tests; every other guest has an initrd that fits
  // QEMU puts it there; and there some firmware keeps its tables.
  const host = await startHost(t);
  const initrd = fileOfImage(KERNEL, 'initrd');
  const full = Buffer.alloc(Math.ceil(initrd.length / 4096) * 4096 + 4095);
  initrd.copy(full);
  const image = makeImage({ layout: `${host.images}/i`, tag: 'v1', files: { '/initrd': full } });
  const { spec: made } = await host.create(demoSpec('full', { initrd: { image } }));
  await host.untilConsole(made?.uid ?? '', /flintlock-guest: up /, BOOT_MS);
});

test('words on the command line choose the machine', { timeout: 300_000 }, async (t) => {
  const host = await startHost(t);
  const image = fileOfImage(SMALL, 'boot/vmlinux');
  const kernel = makeImage({ layout: `${host.images}/k`, tag: 'v1', files: { '/vmlinux': image } });
  const { spec: made } = await host.create(spec('word', kernel, 'quiet acpi=off'));
  const uid = made?.uid ?? '';
  await host.untilConsole(uid, /flintlock-guest: up /, BOOT_MS);
  expect(machineOf(host, uid)).toBe('microvm,acpi=off');
});

test('a kernel or initrd that cannot serve is refused before anything else is made', async (t) => {
  const host = await startHost(t);
  const image = makeImage({
    layout: `${host.images}/bad`,
    tag: 'v1',
    files: {
      '/boot/vmlinux-arm': elf({ machine: 183 }),
      '/boot/vmlinuz-6.1': bzImage({ cutTo: 1100 }),
      '/boot/text': 'this is no kernel\n',
      '/good/vmlinux': pvhElf(),
    },
  });
  const cases: readonly [Partial<SpecInit>, reason: string, text: RegExp][] = [
    [
      { kernel: { image, filename: 'boot/vmlinux-arm' } },
      'KernelNotFound',
      /for arm64, and this host is x86-64; what boots here/,
    ],
    [{ kernel: { image, filename: 'boot/text' } }, 'KernelNotFound', /it is text/],
    [{ kernel: { image } }, 'KernelNotFound', /boot\/vmlinuz-6.1 is a bzImage that was cut off/],
    [{ initrd: { image, filename: 'good/vmlinux' } }, 'InitrdNotFound', /it is an ELF file, no initrd; .*cpio/],
    [
      { initrd: { image: KERNEL, filename: 'boot/vmlinuz' } },
      'InitrdNotFound',
      /it is a kernel, no initrd; .*the image has initrd/,
    ],
  ];
  for (const [i, [change, reason, text]] of cases.entries()) {
    const wanted = demoSpec(`bad${i}`, change);
    const { spec: made } = await host.create(wanted);
    const uid = made?.uid ?? '';
    const { status } = await host.until(uid, 'FAILED');
    expect({ i, reason: status?.reason }).toEqual({ i, reason });
    expect(status?.message).toMatch(text);
    expect({ volumes: status?.volumes, interfaces: status?.networkInterfaces }).toEqual({
      volumes: {},
      interfaces: {},
    });
    expect(existsSync(`${host.state}/vm/${uid}`)).toBe(false);
    // With the image in the cache a dry run says the same.
    await expect(host.vms.createMicroVM({ microvm: { ...wanted, id: `dry${i}` }, validateOnly: true })).rejects.toThrow(
      text,
    );
  }
});

/** A guest without an initrd. */
const spec = (id: string, image: string, cmdline = 'quiet'): SpecInit =>
  demoSpec(id, {
    kernel: { image, cmdline },
    initrd: undefined as unknown as NonNullable<SpecInit['initrd']>,
    volumes: [
      { id: 'root', isRoot: true, source: { containerSource: DEMO_ROOT } },
      { id: 'data', isReadOnly: true, source: { containerSource: DEMO_ROOT } },
    ],
  });

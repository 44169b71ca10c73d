import { expect, test } from 'vitest';
import type { AcpiChoice } from '../../domain/acpi.ts';
import type { KernelFacts, KernelPart } from '../../domain/kernel-facts.ts';
import type { Spec } from '../../domain/spec.ts';
import { NO_QBOOT, remarksOf as remarks } from './remarks.ts';

const remarksOf = (of: Spec, kernel: KernelFacts, acpi: AcpiChoice) =>
  remarks(of, kernel, { ...acpi, firmware: 'qboot.rom' });
const spec = { volumes: [{}], interfaces: [] } as unknown as Spec;
const withInitrd = { ...spec, initrd: { image: 'x' } };
const ALL: readonly KernelPart[] = ['acpi', 'pci', 'virtio-mmio', 'virtio-mmio on the command line', 'virtio-blk'];
const but = (...parts: readonly KernelPart[]) => ({ parts: ALL.filter((part) => !parts.includes(part)) });

test('of the usual machine and a kernel that has everything nothing is said', () => {
  const nothing = { chosen: [], warnings: [] };
  expect(remarksOf(spec, { parts: ALL }, { acpi: true, because: 'default' })).toEqual(nothing);
  expect(remarksOf(withInitrd, { parts: ['acpi', 'pci'] }, { acpi: true, because: 'default' })).toEqual(nothing);
  expect(remarksOf({ ...spec, volumes: [] }, { parts: ['acpi'] }, { acpi: true, because: 'default' })).toEqual(nothing);
});

test('why the machine has no ACPI is said, where it was not the default', () => {
  expect(remarksOf(spec, but('acpi'), { acpi: false, because: 'no ACPI code' }).chosen[0]).toMatch(
    /its kernel has no ACPI code/,
  );
  expect(remarksOf(spec, { parts: ALL }, { acpi: false, because: 'words' }).chosen[0]).toMatch(
    /words in kernel.cmdline/,
  );
  expect(remarksOf(spec, { parts: ALL }, { acpi: false, because: 'default' }).chosen).toEqual([]);
});

test.each([
  ['no devices on the command line', spec, but('acpi', 'virtio-mmio on the command line'), false, /CMDLINE_DEVICES/],
  ['ACPI forced on a kernel without', spec, but('acpi'), true, /leave qemu.acpi out/],
  [
    'no virtio-mmio and no initrd',
    spec,
    but('virtio-mmio', 'virtio-mmio on the command line'),
    true,
    /CONFIG_VIRTIO_MMIO\)/,
  ],
  [
    'ACPI without PCI',
    spec,
    but('pci', 'virtio-mmio on the command line'),
    true,
    /reads nothing of ACPI.*interface\.$/,
  ],
  ['ACPI forced on a kernel without PCI', spec, but('pci'), true, /none for PCI.*leave qemu.acpi out\.$/],
  ['no driver for disks and no initrd', spec, but('virtio-blk'), true, /CONFIG_VIRTIO_BLK/],
])('%s is a warning', (_, of, kernel, acpi, text) => {
  expect(remarksOf(of, kernel, { acpi, because: 'no ACPI code' }).warnings.join(' ')).toMatch(text);
});

test.each([
  [true, 'it gets the machine with ACPI.'],
  [false, 'it gets the machine without ACPI.'],
])('of a kernel that was not seen is said which machine it gets: ACPI %s', (acpi, text) => {
  expect(remarksOf(spec, { unseen: 'it is packed with lzo' }, { acpi, because: 'default' })).toEqual({
    chosen: [`What the kernel can do was not seen: it is packed with lzo; ${text}`],
    warnings: [],
  });
});

test('where QEMU chooses its firmware an initrd may hide the ACPI tables', () => {
  const warnings = (of: Spec, acpi: boolean) =>
    remarks(of, { parts: ALL }, { acpi, because: 'default' }).warnings.filter((text) => text === NO_QBOOT);
  expect(warnings(withInitrd, true)).toHaveLength(1);
  expect(warnings(withInitrd, false)).toEqual([]);
  expect(warnings(spec, true)).toEqual([]);
});

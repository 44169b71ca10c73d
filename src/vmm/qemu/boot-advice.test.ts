import { expect, test } from 'vitest';
import type { KernelFacts, KernelPart } from '../../domain/kernel-facts.ts';
import { bootAdvice } from './boot-advice.ts';

const advice = (kernelFacts: KernelFacts | undefined, acpi: boolean) =>
  bootAdvice({ ...(kernelFacts && { kernelFacts }), disks: [{ isRoot: true }] }, acpi);
const WORDS: KernelPart = 'virtio-mmio on the command line';
const has = (...parts: readonly KernelPart[]): KernelFacts => ({ parts: ['virtio-mmio', ...parts] });
const OFF = /try acpi=off in kernel\.cmdline/;
const ON = /try "qemu\.acpi": "on"/;
const FITS = /it is something else$/;
const NEITHER = /take another kernel$/;

test.each<[string, KernelFacts | undefined, boolean, RegExp]>([
  ['of which nothing is known may want the machine without ACPI', undefined, true, OFF],
  ['of which nothing is known may want the machine with ACPI', { unseen: 'it is packed with lzo' }, false, ON],
  ['without virtio-mmio is no matter of ACPI', { parts: ['acpi', 'pci'] }, true, /CONFIG_VIRTIO_MMIO\)/],
  ['with it as a module may want the machine with ACPI', { parts: ['acpi', 'pci'] }, false, ON],
  ['without virtio-mmio and ACPI needs it', { parts: ['pci'] }, false, /CONFIG_VIRTIO_MMIO\)/],
  ['that reads ACPI fits the machine with it', has('acpi', 'pci'), true, FITS],
  ['that is told of its devices fits the machine without', has(WORDS), false, FITS],
  ['that is told of its devices wants the machine without', has(WORDS), true, OFF],
  ['with ACPI and without PCI is one of those', has('acpi', WORDS), true, OFF],
  ['that reads ACPI alone wants the machine with it', has('acpi', 'pci'), false, ON],
  ['with neither fits none', has(), false, NEITHER],
  ['with ACPI, without PCI and without words fits none', has('acpi'), true, NEITHER],
])('a kernel %s', (_, facts, acpi, text) => expect(advice(facts, acpi)).toMatch(text));

test('a root that is a partition may be what a kernel does not find', () => {
  const disks = [{ isRoot: true, partitionUuid: '6c1f1a1e-0000-4000-8000-000000000001' }];
  expect(bootAdvice({ kernelFacts: has(WORDS), disks }, false)).toMatch(/CONFIG_EFI_PARTITION.*something else$/);
  expect(bootAdvice({ kernelFacts: has(WORDS), disks: [{ ...disks[0], isRoot: false }] }, false)).not.toMatch(/EFI/);
});

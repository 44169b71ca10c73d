import { describe, expect, test } from 'vitest';
import { acpiFor } from './acpi.ts';
import type { KernelFacts } from './kernel-facts.ts';

const WITH: KernelFacts = { parts: ['acpi', 'pci'] };
const CMDLINE = 'virtio-mmio on the command line';
const WITHOUT: KernelFacts = { parts: ['virtio-mmio'] };

describe('whether a machine has ACPI', () => {
  test.each<[string, Parameters<typeof acpiFor>, ReturnType<typeof acpiFor>]>([
    ['the default', [undefined, 'quiet', WITH, true], { acpi: true, because: 'default' }],
    ['a default of off', [undefined, '', WITH, false], { acpi: false, because: 'default' }],
    ['the kernel', [undefined, '', WITHOUT, true], { acpi: false, because: 'no ACPI code' }],
    [
      'a kernel with ACPI and no PCI',
      [undefined, '', { parts: ['acpi', CMDLINE] }, true],
      { acpi: false, because: 'no PCI code' },
    ],
    [
      'one that takes no devices either',
      [undefined, '', { parts: ['acpi'] }, true],
      { acpi: true, because: 'default' },
    ],
    ['one with all', [undefined, '', { parts: ['acpi', 'pci', CMDLINE] }, true], { acpi: true, because: 'default' }],
    ['no kernel yet', [undefined, '', undefined, true], { acpi: true, because: 'default' }],
    ['a kernel of which nothing was seen', [undefined, '', { unseen: 'x' }, true], { acpi: true, because: 'default' }],
    ['a word', [undefined, 'quiet acpi=off', WITH, true], { acpi: false, because: 'words' }],
    ['the option before all', ['on', 'acpi=off', WITHOUT, false], { acpi: true, because: 'option' }],
    ['the option off', ['off', 'acpi=force', WITH, true], { acpi: false, because: 'option' }],
    ['a word before the kernel', [undefined, 'acpi=force', WITHOUT, true], { acpi: true, because: 'words' }],
  ])('%s', (_, given, choice) => expect(acpiFor(...given)).toEqual(choice));

  test.each([
    ['acpi=off', false],
    ['acpi=noirq quiet', false],
    ['acpi=ht', false],
    ['pci=noacpi', false],
    ['pci=nomsi,noacpi', false],
    ['acpi=off acpi=force', true],
    ['acpi=force acpi=off', false],
    ['acpi=strict', true],
    ['acpi=rsdt', true],
    ['acpi_osi=Linux acpi.debug=1', true],
    ['"acpi=off is a word" quiet', true],
    ['-- acpi=off', true],
    ['acpi_off xacpi=off', true],
  ])('%s', (cmdline, acpi) => expect(acpiFor(undefined, cmdline, WITH, true).acpi).toBe(acpi));
});

import { type KernelFacts, kernelHas } from './kernel-facts.ts';
import { wordsOf } from './kernel-words.ts';

/** Whether a machine has ACPI, and who said so. */
export interface AcpiChoice {
  readonly acpi: boolean;
  readonly because: 'option' | 'words' | 'no ACPI code' | 'no PCI code' | 'default';
}

/**
 * Words by which a kernel does not use ACPI for all that a machine with it
 * describes by it alone: devices and interrupts. What is said last counts.
 * @see Documentation/admin-guide/kernel-parameters.txt in Linux
 */
const WITHOUT = new Set(['acpi=off', 'acpi=noirq', 'acpi=ht', 'pci=noacpi', 'noacpi']);
const WITH = new Set(['acpi=on', 'acpi=force']);

/**
 * The spec's own setting counts most, then the words that its kernel is given,
 * then what the kernel can do, then the default.
 *
 * @param option - the provider's own, where the spec has it
 * @param facts - of the kernel; absent: it is not known yet
 */
export function acpiFor(
  option: 'on' | 'off' | undefined,
  cmdline: string,
  facts: KernelFacts | undefined,
  byDefault: boolean,
): AcpiChoice {
  if (option !== undefined) return { acpi: option === 'on', because: 'option' };
  const said = acpiIn(cmdline);
  if (said !== undefined) return { acpi: said, because: 'words' };
  const without = byDefault && facts ? whyWithout(facts) : undefined;
  return without === undefined ? { acpi: byDefault, because: 'default' } : { acpi: false, because: without };
}

/**
 * Linux with ACPI and without PCI loads no table at all, and finds nothing:
 * the handler of PCI's registers is missing ("Unable to load the System
 * Description Tables"). Kernels for Firecracker are so, and are told of their
 * devices on the command line; those that take none there have been patched.
 * @see acpi_ev_install_region_handlers() in drivers/acpi/acpica/evhandler.c
 */
function whyWithout(facts: KernelFacts): 'no ACPI code' | 'no PCI code' | undefined {
  if (kernelHas(facts, 'acpi') === false) return 'no ACPI code';
  const isBlind = kernelHas(facts, 'pci') === false && kernelHas(facts, 'virtio-mmio on the command line') === true;
  return isBlind ? 'no PCI code' : undefined;
}

/** What a command line says of it; undefined: nothing. */
function acpiIn(cmdline: string): boolean | undefined {
  let said: boolean | undefined;
  for (const word of wordsOf(cmdline)) {
    if (word === '--') break; // what follows is init's
    // Linux takes several values of `pci` at once.
    const words = word.startsWith('pci=')
      ? word
          .slice(4)
          .split(',')
          .map((value) => `pci=${value}`)
      : [word];
    for (const one of words) {
      if (WITHOUT.has(one)) said = false;
      if (WITH.has(one)) said = true;
    }
  }
  return said;
}

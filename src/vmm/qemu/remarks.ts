import type { AcpiChoice } from '../../domain/acpi.ts';
import { type KernelFacts, kernelHas } from '../../domain/kernel-facts.ts';
import type { Spec } from '../../domain/spec.ts';
import type { MachineRemarks } from '../../ports/vmm.ts';
import type { Firmware } from './argv.ts';

const WHY: Readonly<Record<Exclude<AcpiChoice['because'], 'default'>, string>> = {
  option: 'as provider_options say',
  words: 'because of the words in kernel.cmdline',
  'no ACPI code': 'because its kernel has no ACPI code',
  'no PCI code': 'because its kernel has ACPI code but none for PCI, without which Linux reads nothing of ACPI',
};

/** Where a QEMU chooses its firmware itself. @see ./argv.ts FIRMWARE */
export const NO_QBOOT =
  "This QEMU has no qboot.rom: its own firmware may keep the ACPI tables where the end of an initrd lies, and such a guest hangs with an empty console. Install it (Debian: 'apt-get install qemu-system-data'), or give the initrd another size.";

/**
 * What a user should know of the machine `microvm`. Its disks and interfaces
 * are virtio over MMIO: described by ACPI, or without it on the command line.
 * What is a module of the kernel's is not seen, and an initrd may bring it.
 */
export function remarksOf(
  spec: Spec,
  kernel: KernelFacts,
  { acpi, because, firmware }: AcpiChoice & { readonly firmware?: Firmware },
): MachineRemarks {
  const chosen: string[] = [];
  const warnings: string[] = [];
  const devices = spec.volumes.length + spec.interfaces.length > 0;
  if (!acpi && because !== 'default')
    chosen.push(`The machine has no ACPI, ${WHY[because]}: no power button, seven devices at most.`);
  if (acpi && spec.initrd && firmware === undefined) warnings.push(NO_QBOOT);
  if (kernel.parts === undefined) {
    // What was assumed is in the record, too: such a kernel without ACPI finds no devices, and says nothing.
    if (kernel.unseen !== undefined) {
      const machine = acpi ? 'with ACPI' : 'without ACPI';
      chosen.push(`What the kernel can do was not seen: ${kernel.unseen}; it gets the machine ${machine}.`);
    }
    return { chosen, warnings };
  }
  if (acpi && kernelHas(kernel, 'acpi') === false)
    warnings.push('The machine has ACPI and the kernel has no ACPI code: it may find no devices; leave qemu.acpi out.');
  const hasMmio = kernelHas(kernel, 'virtio-mmio') ?? false;
  const takesWords = kernelHas(kernel, 'virtio-mmio on the command line') ?? false;
  if (acpi && devices && kernelHas(kernel, 'acpi') && kernelHas(kernel, 'pci') === false)
    warnings.push(
      `The kernel has ACPI code but none for PCI (CONFIG_PCI), without which Linux reads nothing of ACPI, unless it was changed for that: it may find no disk and no interface${takesWords ? '; leave qemu.acpi out' : ''}.`,
    );
  if (devices && hasMmio && !acpi && !takesWords)
    warnings.push(
      'The machine has no ACPI, and the kernel does not take devices from its command line (CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES): it may find no disk and no interface.',
    );
  if (devices && !spec.initrd && !hasMmio)
    warnings.push(
      'The kernel has no virtio-mmio built in (CONFIG_VIRTIO_MMIO), and there is no initrd that could bring it as a module: it may find no disk and no interface.',
    );
  if (!spec.initrd && spec.volumes.length > 0 && hasMmio && kernelHas(kernel, 'virtio-blk') === false)
    warnings.push(
      'The kernel has no driver for disks built in (CONFIG_VIRTIO_BLK), and there is no initrd that could bring it as a module.',
    );
  return { chosen, warnings };
}

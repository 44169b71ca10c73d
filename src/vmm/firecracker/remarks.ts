import { type KernelFacts, kernelHas } from '../../domain/kernel-facts.ts';
import type { Spec } from '../../domain/spec.ts';
import type { MachineRemarks } from '../../ports/vmm.ts';
import { NO_PCI } from './boot-advice.ts';
import { optionsOf } from './options.ts';

/** What a user should know of the machine. What is a module of the kernel's is not seen, and an initrd may bring it. */
export function remarksOf(spec: Spec, kernel: KernelFacts): MachineRemarks {
  const warnings: string[] = [];
  if (kernel.parts === undefined) return { chosen: [], warnings };
  const devices = spec.volumes.length + spec.interfaces.length > 0;
  if (optionsOf({ options: spec.providerOptions }).pci) {
    if (devices && kernelHas(kernel, 'pci') === false) warnings.push(`${NO_PCI}.`);
    return { chosen: ['Disks and interfaces are on a PCI bus, as firecracker.pci asks'], warnings };
  }
  const hasMmio = kernelHas(kernel, 'virtio-mmio') ?? false;
  if (devices && !spec.initrd && !hasMmio)
    warnings.push(
      'The kernel has no virtio-mmio built in (CONFIG_VIRTIO_MMIO), and there is no initrd that could bring it as a module: it may find no disk and no interface.',
    );
  if (devices && hasMmio && !kernelHas(kernel, 'virtio-mmio on the command line') && !kernelHas(kernel, 'acpi'))
    warnings.push(
      'The kernel takes no devices from its command line (CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES) and has no ACPI code: it may find no disk and no interface.',
    );
  if (!spec.initrd && spec.volumes.length > 0 && hasMmio && kernelHas(kernel, 'virtio-blk') === false)
    warnings.push(
      'The kernel has no driver for disks built in (CONFIG_VIRTIO_BLK), and there is no initrd that could bring it as a module.',
    );
  return { chosen: [], warnings };
}

import { type KernelFacts, kernelHas } from '../../domain/kernel-facts.ts';
import type { Spec } from '../../domain/spec.ts';
import type { MachineRemarks, VmmConfig } from '../../ports/vmm.ts';

const NO_PCI =
  'The kernel has no PCI code (CONFIG_PCI), by which this machine has its disks and interfaces: it finds none of them';
const NO_ACPI =
  'The kernel has no ACPI code (CONFIG_ACPI), by which this machine tells of its CPUs and its power button: it may see one CPU, and is deaf to the button';

/**
 * What a user should know of this machine. Its disks and interfaces are virtio over PCI, described by ACPI. What is a
 * module of the kernel's is not seen, and an initrd may bring it; PCI and ACPI never are.
 */
export function remarksOf(spec: Spec, kernel: KernelFacts): MachineRemarks {
  const warnings: string[] = [];
  const hasDevices = spec.volumes.length + spec.interfaces.length > 0;
  if (hasDevices && kernelHas(kernel, 'pci') === false) warnings.push(`${NO_PCI}.`);
  if (kernelHas(kernel, 'acpi') === false) warnings.push(`${NO_ACPI}.`);
  if (!spec.initrd && spec.volumes.length > 0 && kernelHas(kernel, 'virtio-blk') === false)
    warnings.push(
      'The kernel has no driver for disks built in (CONFIG_VIRTIO_BLK), and there is no initrd that could bring it as a module.',
    );
  return { chosen: [], warnings };
}

/** What to try for a guest that sees nothing of this machine, or not its root: a sentence or two, without the last stop. */
export function bootAdvice({ kernelFacts = {}, disks }: Pick<VmmConfig, 'kernelFacts' | 'disks'>): string {
  const advice =
    kernelHas(kernelFacts, 'pci') === false
      ? `${NO_PCI}; take another kernel`
      : 'Its disks and interfaces are virtio over PCI (CONFIG_VIRTIO_PCI): a kernel that has that as a module needs the initrd of its version';
  const isParted = disks.some(({ isRoot, partitionUuid }) => isRoot && partitionUuid !== undefined);
  return isParted
    ? `Its root is a partition (partition_id), which only a kernel with CONFIG_EFI_PARTITION finds. ${advice}`
    : advice;
}

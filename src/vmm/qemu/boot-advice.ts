import { type KernelFacts, kernelHas } from '../../domain/kernel-facts.ts';
import type { VmmConfig } from '../../ports/vmm.ts';

type Booted = Pick<VmmConfig, 'kernelFacts'> & {
  readonly disks: readonly Pick<VmmConfig['disks'][number], 'isRoot' | 'partitionUuid'>[];
};

/** What to try for a guest that sees nothing of this machine, or not its root: a sentence or two, without the last stop. */
export function bootAdvice({ kernelFacts = {}, disks }: Booted, acpi: boolean): string {
  const advice = machineAdvice(kernelFacts, acpi);
  const isParted = disks.some(({ isRoot, partitionUuid }) => isRoot && partitionUuid !== undefined);
  return isParted
    ? `Its root is a partition (partition_id), which only a kernel with CONFIG_EFI_PARTITION finds: Firecracker's are without. ${advice}`
    : advice;
}

/** What the kernel's bytes tell goes before what is true of kernels in general: nothing is advised that cannot help. */
function machineAdvice(facts: KernelFacts, acpi: boolean): string {
  const takesWords = kernelHas(facts, 'virtio-mmio on the command line');
  const readsAcpi = kernelHas(facts, 'acpi') && kernelHas(facts, 'pci');
  // As a module it is not seen, nor what it takes from the command line: there the other machine is the better guess.
  if (kernelHas(facts, 'virtio-mmio') === false && (acpi || !readsAcpi))
    return 'The kernel has no virtio-mmio built in (CONFIG_VIRTIO_MMIO), by which this machine has its disks and interfaces: give it an initrd that brings it, or take another kernel';
  if (acpi ? readsAcpi : takesWords)
    return 'By its bytes the kernel finds the devices of this machine: it is something else';
  const otherWay = acpi ? takesWords : readsAcpi;
  if (otherWay === false)
    return 'By its bytes the kernel finds its devices neither by ACPI (CONFIG_ACPI with CONFIG_PCI) nor on its command line (CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES): take another kernel';
  return acpi
    ? 'A kernel without ACPI sees no device of this machine: try acpi=off in kernel.cmdline, or "qemu.acpi": "off" in provider_options'
    : 'A kernel that takes no devices from its command line (CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES) sees none of a machine without ACPI: try "qemu.acpi": "on" in provider_options';
}

import { kernelHas } from '../../domain/kernel-facts.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import { optionsOf } from './options.ts';

/** A clause. */
export const NO_PCI =
  'The kernel has no PCI code (CONFIG_PCI), by which firecracker.pci gives it its disks and interfaces: it finds none of them';

type Booted = Pick<VmmConfig, 'kernelFacts' | 'options'> & {
  readonly disks: readonly Pick<VmmConfig['disks'][number], 'isRoot' | 'partitionUuid'>[];
};

/** What to try for a guest that sees nothing of this machine, or not its root: a sentence or two, without the last stop. */
export function bootAdvice({ kernelFacts = {}, disks, options }: Booted): string {
  const isParted = disks.some(({ isRoot, partitionUuid }) => isRoot && partitionUuid !== undefined);
  const { pci } = optionsOf({ options });
  const advice = pci ? adviceWithPci(kernelFacts) : adviceOf(kernelFacts);
  return isParted
    ? `Its root is a partition (partition_id), which only a kernel with CONFIG_EFI_PARTITION finds. ${advice}`
    : advice;
}

const adviceWithPci = (facts: NonNullable<VmmConfig['kernelFacts']>): string =>
  kernelHas(facts, 'pci') === false
    ? `${NO_PCI}; leave it out, or take another kernel`
    : 'Its disks and interfaces are virtio over PCI (CONFIG_VIRTIO_PCI): leave firecracker.pci out, or take a kernel that has that built in';

/** Its disks and interfaces are virtio over MMIO, told on the command line and, since 1.8, by ACPI without PCI. */
function adviceOf(facts: NonNullable<VmmConfig['kernelFacts']>): string {
  if (kernelHas(facts, 'virtio-mmio') === false)
    return 'The kernel has no virtio-mmio built in (CONFIG_VIRTIO_MMIO), by which this machine has its disks and interfaces: give it an initrd that brings it, or take another kernel';
  if (kernelHas(facts, 'virtio-mmio on the command line'))
    return 'By its bytes the kernel finds the devices of this machine: it is something else';
  return 'A kernel that takes no devices from its command line (CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES) may see none of this machine: take another kernel, or another provider';
}

/**
 * What a kernel can do, as far as its bytes tell: an option of its
 * configuration, built in. Modules are not seen.
 *
 * `acpi`, `pci`: finds the devices that a machine describes so.
 * `virtio-mmio`: disks and interfaces of the microVM's machine;
 * `virtio-mmio on the command line`: also where only the command line names
 * them, as on a machine without ACPI.
 * `virtio-blk`: the driver of disks.
 */
export const KERNEL_PARTS = [
  'acpi',
  'pci',
  'virtio-mmio',
  'virtio-mmio on the command line',
  'virtio-blk',
  'unpacks gzip',
  'unpacks zstd',
  'unpacks xz',
] as const;
export type KernelPart = (typeof KERNEL_PARTS)[number];

export interface KernelFacts {
  /** As `uname -r` says it; absent where the bytes do not. */
  readonly release?: string;
  /** Absent: it was not looked at, for a reason in `unseen`. */
  readonly parts?: readonly KernelPart[];
  /** A sentence. */
  readonly unseen?: string;
  /** What is in the file: Linux as it runs, or packed with what unpacks it. Told where it was looked at now; the ledger has it not. */
  readonly form?: 'vmlinux' | 'bzImage';
  /** Whether it finds the partitions of a GPT disk (CONFIG_EFI_PARTITION). As `form`: told where it was looked at now. */
  readonly readsGpt?: boolean;
}

/** As the ledger keeps them. */
export function keptFacts({ form: _, readsGpt: __, ...kept }: KernelFacts): KernelFacts {
  return kept;
}

/** Undefined where the bytes do not tell. */
export const kernelHas = ({ parts }: KernelFacts, part: KernelPart): boolean | undefined => parts?.includes(part);

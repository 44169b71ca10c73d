import { UNPACKED_BY } from './kernel-packing.ts';
import type { FileKind } from './what-file.ts';

export type Role = 'kernel' | 'initrd';

/** What a file of that kind is worth in a role: the lower the better. */
export type Worth = { readonly rank: number } | { readonly wrong: string; readonly remedy?: string };

/** What every VMM of ours boots. */
export const BOOTABLE: Readonly<Record<Role, string>> = {
  kernel: 'what boots here is a vmlinux (a 64-bit ELF file) or a bzImage, for x86-64',
  initrd:
    'what serves is a cpio archive ("cpio -H newc"), plain or packed with gzip, zstd, xz, lz4 -l, lzma, lzo or bzip2',
};

/** By what it is alone. An ELF file without a PVH entry point is still to be looked at: whether it is Linux. */
export function worthAs(role: Role, kind: FileKind): Worth {
  return role === 'kernel' ? asKernel(kind) : asInitrd(kind);
}

function asKernel(kind: FileKind): Worth {
  switch (kind.is) {
    case 'elf':
      if (kind.elf.pvhEntry !== undefined) return { rank: 0 }; // sooner up: nothing is unpacked in the guest
      // FreeBSD's kernel names an interpreter that nobody has, and has such an entry.
      if (kind.elf.isProgram) return { wrong: 'is a program, no kernel' };
      if (kind.elf.entry === undefined)
        return { wrong: 'has neither a PVH entry point nor an entry in one of its segments' };
      return { rank: 2 };
    case 'bzImage':
      return { rank: 1 };
    case 'cpio':
      return { wrong: 'is an initrd, no kernel' };
    case 'ramdisk':
      return { wrong: `is a file system (${kind.fileSystem}), no kernel` };
    case 'packed':
      return { wrong: `is packed with ${kind.packed}`, remedy: `unpack it with ${UNPACKED_BY[kind.packed]}` };
    case 'none':
      return wrongOf(kind);
    default:
      return kind satisfies never;
  }
}

function asInitrd(kind: FileKind): Worth {
  switch (kind.is) {
    case 'cpio':
    case 'packed':
      return { rank: 0 };
    case 'ramdisk':
      return { rank: 1 };
    case 'elf':
      return { wrong: kind.elf.isProgram ? 'is a program, no initrd' : 'is an ELF file, no initrd' };
    case 'bzImage':
      return { wrong: 'is a kernel, no initrd' };
    case 'none':
      return wrongOf(kind);
    default:
      return kind satisfies never;
  }
}

const wrongOf = ({ what, remedy }: Extract<FileKind, { is: 'none' }>): Worth => ({
  wrong: what,
  ...(remedy !== undefined && { remedy }),
});

import { type Bytes, hasAt, viewOf } from './bytes.ts';
import { type BzImage, isBzImage, readBzImage } from './bzimage.ts';
import { endOfCpio, isCpio, isOldCpio } from './cpio.ts';
import { type Elf, isElf, readElf } from './elf.ts';
import { beginningOf, type Packing, packingOf, UNPACKED_BY, unpacker } from './kernel-packing.ts';

/**
 * What a file is, by its bytes: what its name says is not asked. `none` is
 * neither a kernel nor an initrd that this host boots; `what` goes on from the
 * file's name, and `remedy` says what makes one of it.
 */
export type FileKind = Readonly<
  | { is: 'elf'; elf: Elf }
  | { is: 'bzImage'; setup: BzImage }
  /** `packed`: the last of its archives is. */
  | { is: 'cpio'; packed?: Packing }
  /** A file system, as initrds were before they were archives. */
  | { is: 'ramdisk'; fileSystem: string; packed?: Packing }
  /** What is in it is not seen without a tool: most likely an archive. */
  | { is: 'packed'; packed: Packing }
  | { is: 'none'; what: string; remedy?: string }
>;

/** As much as has every mark that is looked for: ext2's is the last, at 0x438. */
const HEAD_BYTES = 2048;
/** So many packed bytes tell the first ones of what is in them: a zstd block has 128 KiB at most. */
const PACKED_BYTES = 1 << 18;
/** Microcode, firmware, modules: some make one of each. */
const MAX_ARCHIVES = 64;

const none = (what: string, remedy?: string): FileKind => ({
  is: 'none',
  what,
  ...(remedy !== undefined && { remedy }),
});

export async function whatFile(bytes: Bytes, signal: AbortSignal): Promise<FileKind> {
  const head = await bytes.read(0, HEAD_BYTES);
  if (head.length === 0) return none('is empty');
  if (isBzImage(head)) {
    const setup = await readBzImage(bytes);
    return 'wrong' in setup ? none(setup.wrong) : { is: 'bzImage', setup };
  }
  if (isElf(head)) {
    const elf = await readElf(bytes);
    return 'wrong' in elf ? none(elf.wrong) : { is: 'elf', elf };
  }
  const other = otherKernel(head);
  if (other) return other;
  if (isCpio(head) || packingOf(head) !== undefined) return await initrd(bytes, head, signal);
  if (isOldCpio(head))
    return none('is a cpio archive of a kind that Linux does not unpack', 'make it with "cpio -H newc"');
  const fileSystem = fileSystemIn(head);
  if (fileSystem !== undefined) return { is: 'ramdisk', fileSystem };
  return none(unknown(head));
}

/** One archive after the other, as Linux unpacks them. @see init/initramfs.c */
async function initrd(bytes: Bytes, head: Uint8Array, signal: AbortSignal): Promise<FileKind> {
  let at = 0;
  let here = head;
  for (let archives = 0; archives < MAX_ARCHIVES; archives++) {
    const packed = packingOf(here);
    // How long it is packed is not known without unpacking all: what comes behind is not looked at.
    if (packed !== undefined) return await packedFile(bytes, at, packed, at > 0);
    if (!isCpio(here)) return none(`is a cpio archive with something else behind it, at byte ${at}`);
    const end = await endOfCpio(bytes, at, signal);
    if (typeof end !== 'number') return none(end.wrong);
    if (end >= bytes.size) return { is: 'cpio' };
    at = end;
    here = await bytes.read(at, HEAD_BYTES);
  }
  return none(`holds more than ${MAX_ARCHIVES} archives`);
}

async function packedFile(bytes: Bytes, at: number, packed: Packing, isBehind: boolean): Promise<FileKind> {
  if (packed === 'lz4 frame')
    return none(
      'is packed with lz4 in the way that Linux does not unpack',
      'pack it with "lz4 -l", or unpack it with unlz4',
    );
  if (!unpacker(packed)) return isBehind ? { is: 'cpio', packed } : { is: 'packed', packed };
  const inside = await beginningOf(packed, await bytes.read(at, PACKED_BYTES), HEAD_BYTES);
  if (!inside) return none(`begins as if packed with ${packed}, and cannot be unpacked`);
  if (isCpio(inside)) return { is: 'cpio', packed };
  const fileSystem = fileSystemIn(inside);
  if (fileSystem !== undefined && !isBehind) return { is: 'ramdisk', fileSystem, packed };
  const unpack = `unpack it with ${UNPACKED_BY[packed]}`;
  if (isElf(inside) || isBzImage(inside)) return none(`is a kernel packed with ${packed}`, unpack);
  const other = otherKernel(inside);
  if (other?.is === 'none') return none(`is packed with ${packed}; unpacked it ${other.what}`);
  if (isOldCpio(inside))
    return none('is a cpio archive of a kind that Linux does not unpack', 'make it with "cpio -H newc"');
  return none(`is packed with ${packed}, and what is in it is neither a kernel nor a cpio archive`);
}

/** Kernels that another CPU or another firmware boots. */
function otherKernel(head: Uint8Array): FileKind | undefined {
  const forCpu = (cpu: string): FileKind => none(`is a Linux kernel for ${cpu}, and this host is x86-64`);
  if (hasAt(head, 0x38, 'ARM\x64')) return forCpu('arm64');
  if (hasAt(head, 0x38, 'RSC\x05')) return forCpu('RISC-V');
  if (hasAt(head, 0x38, [0xcd, 0x23, 0x82, 0x81])) return forCpu('LoongArch');
  if (hasAt(head, 0x24, [0x18, 0x28, 0x6f, 0x01])) return forCpu('32-bit ARM');
  if (hasAt(head, 0, [0x27, 0x05, 0x19, 0x56]))
    return none('is wrapped for the boot loader U-Boot', 'take the file that was wrapped');
  return hasAt(head, 0, 'MZ') ? efiProgram(head) : undefined;
}

/** @see https://learn.microsoft.com/en-us/windows/win32/debug/pe-format */
function efiProgram(head: Uint8Array): FileKind | undefined {
  const view = viewOf(head);
  const pe = head.length >= 0x40 ? view.getUint32(0x3c, true) : Number.MAX_SAFE_INTEGER;
  if (pe + 24 > head.length || !hasAt(head, pe, 'PE\0\0')) return undefined;
  const cpus: Readonly<Record<number, string>> = { 34404: 'x86-64', 332: '32-bit x86', 43620: 'arm64' };
  const cpu = cpus[view.getUint16(pe + 4, true)] ?? 'another CPU';
  if (hasAt(head, 4, 'zimg'))
    return none(`is a kernel for ${cpu} that only EFI firmware unpacks`, 'take the kernel that was packed in it');
  const first = pe + 24 + view.getUint16(pe + 20, true);
  const sections = Array.from({ length: Math.min(view.getUint16(pe + 6, true), 64) }, (_, i) =>
    Buffer.from(head.subarray(first + i * 40, first + i * 40 + 8))
      .toString('latin1')
      .replace(/\0+$/, ''),
  );
  if (sections.includes('.linux'))
    return none(
      'is a unified kernel image, which only EFI firmware starts',
      'take kernel and initrd out of it with "objcopy -O binary --only-section=.linux" and "--only-section=.initrd"',
    );
  return none(`is an EFI program for ${cpu}, which only EFI firmware starts`);
}

/** Those that Linux takes as an initrd. @see identify_ramdisk_image() in init/do_mounts_rd.c */
function fileSystemIn(head: Uint8Array): string | undefined {
  if (hasAt(head, 0x438, [0x53, 0xef])) return 'ext2, ext3 or ext4';
  if (hasAt(head, 0, 'hsqs')) return 'squashfs';
  if (hasAt(head, 0, '-rom1fs-')) return 'romfs';
  if (hasAt(head, 0, [0x45, 0x3d, 0xcd, 0x28])) return 'cramfs';
  return undefined;
}

function unknown(head: Uint8Array): string {
  const text = Buffer.from(head.subarray(0, 512)).toString('latin1');
  if (text.startsWith('version https://git-lfs')) return 'is a pointer of Git LFS, not the file itself';
  if (/^\s*<(!doctype html|html)/i.test(text)) return 'is an HTML page';
  if (text.startsWith('<?xml')) return 'is XML text';
  if (text.startsWith('#!')) return 'is a script';
  if (/^[\t\n\r\x20-\x7e]*$/.test(text)) return 'is text';
  if (/^\0*$/.test(text)) return 'begins with nothing but zeros';
  return 'is neither a kernel nor an initrd: nothing of its beginning is known';
}

/** As much of a program's file as its headers can take. */
export const ELF_HEADERS = 64 << 10;

const MAGIC = 0x464c457f;
const IS_64_BIT = 2;
const IS_LITTLE_ENDIAN = 1;
/** A program header of this type names the dynamic linker. */
const PT_INTERP = 3;

/**
 * Whether a program needs a dynamic linker, and so libraries beside itself.
 *
 * @param bytes - the beginning of its file; of one that is no 64-bit ELF nothing is known
 * @see elf(5)
 */
export function isDynamic(bytes: Uint8Array): boolean {
  const file = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (file.byteLength < 64 || file.getUint32(0, true) !== MAGIC) return false;
  if (file.getUint8(4) !== IS_64_BIT || file.getUint8(5) !== IS_LITTLE_ENDIAN) return false;
  const [at, size, count] = [Number(file.getBigUint64(32, true)), file.getUint16(54, true), file.getUint16(56, true)];
  for (let i = 0; i < count; i++) {
    const header = at + i * size;
    if (header + 4 > file.byteLength) return false;
    if (file.getUint32(header, true) === PT_INTERP) return true;
  }
  return false;
}

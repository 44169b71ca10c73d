/**
 * A kernel whose first instructions are a triple fault: the machine resets itself as soon as it is started, again and
 * again. It is an ELF file with a PVH entry, as QEMU's microvm machine boots one.
 *
 * @see elf(5), https://xenbits.xen.org/docs/unstable/misc/pvh.html (XEN_ELFNOTE_PHYS32_ENTRY)
 */
export function resetKernel(): Uint8Array {
  const at = 0x10_0000;
  const codeFrom = 0x1000;
  const noteFrom = 0x200;
  const file = Buffer.alloc(codeFrom + 0x40);
  // ELF header: 64 bit, little endian, executable, x86-64, two program headers.
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]).copy(file);
  file.writeUInt16LE(2, 16);
  file.writeUInt16LE(62, 18);
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(BigInt(at), 24);
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt16LE(64, 52);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(2, 56);
  const header = (index: number, type: number, from: number, address: number, size: number): void => {
    const base = 64 + index * 56;
    file.writeUInt32LE(type, base);
    file.writeUInt32LE(5, base + 4);
    file.writeBigUInt64LE(BigInt(from), base + 8);
    file.writeBigUInt64LE(BigInt(address), base + 16);
    file.writeBigUInt64LE(BigInt(address), base + 24);
    file.writeBigUInt64LE(BigInt(size), base + 32);
    file.writeBigUInt64LE(BigInt(size), base + 40);
    file.writeBigUInt64LE(4n, base + 48);
  };
  header(0, 1, codeFrom, at, 0x40); // PT_LOAD
  header(1, 4, noteFrom, at + 0x1000, 20); // PT_NOTE
  file.writeUInt32LE(4, noteFrom);
  file.writeUInt32LE(4, noteFrom + 4);
  file.writeUInt32LE(18, noteFrom + 8);
  file.write('Xen\0', noteFrom + 12, 'latin1');
  file.writeUInt32LE(at, noteFrom + 16);
  // lidt [at + 0x20], which is all zero; int3: there is no handler for it, nor for that fault, nor for that one.
  Buffer.from([0x0f, 0x01, 0x1d]).copy(file, codeFrom);
  file.writeUInt32LE(at + 0x20, codeFrom + 3);
  file[codeFrom + 7] = 0xcc;
  return file;
}

import { decompressLegacy } from './lz4.ts';

/**
 * Takes the kernel itself, an ELF file, out of a bzImage: guests that start
 * from it need not unpack it first.
 *
 * @throws Error when the bzImage is none, or is packed in another way than LZ4
 * @see https://docs.kernel.org/arch/x86/boot.html (setup_sects, payload_offset, payload_length)
 */
export function extractVmlinux(bzImage: Uint8Array): Uint8Array {
  const view = new DataView(bzImage.buffer, bzImage.byteOffset, bzImage.byteLength);
  if (bzImage.length < 0x260 || view.getUint32(0x202, true) !== 0x53726448)
    throw new Error('no bzImage: no HdrS at 0x202');
  const setupSectors = bzImage[0x1f1] || 4;
  const start = (setupSectors + 1) * 512 + view.getUint32(0x248, true);
  const payload = bzImage.subarray(start, start + view.getUint32(0x24c, true));
  const size = new DataView(payload.buffer, payload.byteOffset + payload.length - 4).getUint32(0, true);
  if (size > 512 << 20) throw new Error(`the kernel claims to be ${size} bytes long`);
  const vmlinux = new Uint8Array(size);
  const written = decompressLegacy(payload, vmlinux);
  if (written !== size) throw new Error(`the kernel unpacks to ${written} bytes, its header says ${size}`);
  if (new DataView(vmlinux.buffer).getUint32(0, false) !== 0x7f454c46)
    throw new Error('the unpacked kernel is no ELF file');
  return vmlinux;
}

import { unpack } from './unpack.ts';

/** Of what a kernel may be unpacked: Debian's is 60 MB, one with everything built in 300. */
const LARGEST = 512 << 20;

/**
 * Takes the kernel itself, an ELF file, out of a bzImage: guests that start
 * from it need not unpack it first. It may be packed in any way that Linux
 * knows.
 *
 * @throws Error when the bzImage is none, or what is in it is no ELF file
 * @see https://docs.kernel.org/arch/x86/boot.html (setup_sects, payload_offset, payload_length)
 */
export function extractVmlinux(bzImage: Uint8Array): Uint8Array {
  const view = new DataView(bzImage.buffer, bzImage.byteOffset, bzImage.byteLength);
  if (bzImage.length < 0x260 || view.getUint32(0x202, true) !== 0x53726448)
    throw new Error('no bzImage: no HdrS at 0x202');
  const setupSectors = bzImage[0x1f1] || 4;
  const start = (setupSectors + 1) * 512 + view.getUint32(0x248, true);
  const length = view.getUint32(0x24c, true);
  if (length < 8 || start + length > bzImage.length)
    throw new Error('the kernel is cut off: its payload ends beyond it');
  // Four bytes that say how long it is unpacked: gzip has them itself, for all others the kernel's build appends them.
  const size = view.getUint32(start + length - 4, true);
  if (size > LARGEST) throw new Error(`the kernel claims to be ${size} bytes long`);
  const isGzip = bzImage[start] === 0x1f && bzImage[start + 1] === 0x8b;
  const vmlinux = unpack(bzImage.subarray(start, start + length - (isGzip ? 0 : 4)), size);
  if (vmlinux.length !== size)
    throw new Error(`the kernel unpacks to ${vmlinux.length} bytes, its header says ${size}`);
  if (Buffer.from(vmlinux.subarray(0, 4)).toString('latin1') !== '\x7fELF')
    throw new Error('the unpacked kernel is no ELF file');
  return vmlinux;
}

/**
 * What stands before a kernel that has no PVH entry point: see pvh-stub.S,
 * which these are the bytes of, linked at address 0. A test assembles it and
 * compares.
 */
const CODE = [
  'fcfabf0010000031c0b9001c0000f3abbf001000008b43188987280200008b431c8987c80000008b43208947708b4324',
  '894774837b0c0074268b53108b028987180200008b42048987c00000008b420889871c0200008b420c8987c40000008b',
  '73288b4b3081f9800000007605b980000000888fe80100008d97d002000085c974258b0689028b46048942048b460889',
  '42088b460c89420c8b461089421083c61883c2144975db66c787fe01000055aac787020200004864725366c787060200',
  '000c02c68710020000ffc6871102000001c7873002000000000001c7873802000000080000bf00400000b883000000b9',
  '000800008907050000200083c7084975f3bf00300000b803400000b9040000008907050010000083c7084975f3b80330',
  '0000a3002000000f20e083c8200f22e0b8002000000f22d8b9800000c00f320d000100000f300f0115980100000f20c0',
  '0d010000800f22c0ea5f0100001000b8180000008ed88ec08ed0be00100000488b052a000000ffe00000000000000000',
  '0000000000000000ffff0000009aaf00ffff00000092cf001f007801000000000000000000000000',
].join('');

/** Where in them a 32-bit address stands, that grows with the stub's own. */
const ADDRESSES = [0x3, 0x11, 0xe6, 0x102, 0x107, 0x11e, 0x123, 0x131, 0x149, 0x159, 0x16b, 0x19a];
/** Where the kernel's entry point is put in, 64 bits. */
const ENTRY = 0x1a0;

/** What it takes of the guest's memory: the code, boot_params, and page tables. It clears that itself. */
export const STUB_MEMORY_BYTES = 0x8000;
/** Its pages must be whole ones. */
export const STUB_ALIGN = 0x1000;

/**
 * @param address - where it will lie, a multiple of {@link STUB_ALIGN}
 * @param entry - the kernel's, by the 64-bit boot protocol
 */
export function stubAt(address: number, entry: number): Uint8Array {
  const code = Buffer.from(CODE, 'hex');
  for (const at of ADDRESSES) code.writeUInt32LE(code.readUInt32LE(at) + address, at);
  code.writeBigUInt64LE(BigInt(entry), ENTRY);
  return code;
}

import { type Bytes, hasAt, viewOf } from './bytes.ts';

/** A Linux kernel for x86 as distributions ship it, that unpacks itself. */
export interface BzImage {
  /** `2.15` is 0x20f. */
  readonly protocol: number;
  /** As `uname -r` will say it; absent where the header does not. */
  readonly release?: string;
  /** Where the kernel itself lies, packed; absent before protocol 2.08. */
  readonly payload?: { readonly offset: number; readonly bytes: number };
}

export type BzImageOr = BzImage | { readonly wrong: string };

/** As much of the beginning as has the whole setup header. */
export const SETUP_BYTES = 0x280;
const SECTOR = 512;
/** What the header counts the kernel in. */
const UNIT = 16;
const XLF_KERNEL_64 = 1;

export const isBzImage = (head: Uint8Array): boolean => hasAt(head, 0x202, 'HdrS') && hasAt(head, 0x1fe, [0x55, 0xaa]);

/** @see https://docs.kernel.org/arch/x86/boot.html */
export async function readBzImage(bytes: Bytes): Promise<BzImageOr> {
  const head = await bytes.read(0, SETUP_BYTES);
  if (head.length < SETUP_BYTES) return { wrong: 'is a bzImage that was cut off in its header' };
  const view = viewOf(head);
  const protocol = view.getUint16(0x206, true);
  const setup = ((head[0x1f1] || 4) + 1) * SECTOR;
  // The last unit need not be whole.
  const needed = setup + view.getUint32(0x1f4, true) * UNIT - (UNIT - 1);
  // The word is 16 bits before 2.04.
  if (protocol >= 0x204 && needed > bytes.size)
    return { wrong: `is a bzImage that was cut off: it should have at least ${needed} bytes, and has ${bytes.size}` };
  if (protocol < 0x204 && setup >= bytes.size) return { wrong: 'is a bzImage that was cut off behind its header' };
  // Linux below 3.8 does not say.
  if (protocol >= 0x20c && (view.getUint16(0x236, true) & XLF_KERNEL_64) === 0)
    return { wrong: 'is a bzImage for 32-bit x86, and this host boots 64-bit kernels' };
  const at = view.getUint16(0x20e, true) + 0x200;
  const text = at === 0x200 ? '' : Buffer.from(await bytes.read(at, 256)).toString('latin1');
  const release = /^[\x21-\x7e]{1,128}(?=[ \0])/.exec(text)?.[0];
  const payload = { offset: setup + view.getUint32(0x248, true), bytes: view.getUint32(0x24c, true) };
  const hasPayload = protocol >= 0x208 && payload.bytes > 0 && payload.offset + payload.bytes <= bytes.size;
  return { protocol, ...(release !== undefined && { release }), ...(hasPayload && { payload }) };
}

/** As much of a file as tells. */
export const INITRD_HEAD_BYTES = 64;

/** What `guest/initrd.ts` calls the archive that it packs: with a number, for another way of being told one day. */
const NAME = 'flintlock-initrd.1';

/** gzip, deflated, of flags none but that a name follows: it stands behind ten bytes (RFC 1952, section 2.3). */
const HEAD = [0x1f, 0x8b, 8, 8] as const;
const NAME_AT = 10;

/**
 * Whether an initrd is one of ours that runs what an archive behind it says: by its bytes, wherever it was copied to.
 * @param head - the first {@link INITRD_HEAD_BYTES} of the file
 */
export function takesProcess(head: Uint8Array): boolean {
  const name = Buffer.from(head.subarray(NAME_AT)).toString('latin1');
  return HEAD.every((byte, i) => head[i] === byte) && name.startsWith(`${NAME}\0`);
}

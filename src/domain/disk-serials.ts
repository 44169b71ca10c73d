/** A disk's serial number has room for so many bytes (virtio 1.2, 5.2.6.1: VIRTIO_BLK_ID_BYTES). */
const SERIAL_BYTES = 20;

/**
 * The serial number of each disk, in their order, pairwise different: guests name disks by it, as in
 * `/dev/disk/by-id/virtio-SERIAL`. An id that has room is its own; a longer one is cut; where that would be another's too,
 * it is cut shorter and has a digest of the whole id behind it.
 */
export function diskSerials(ids: readonly string[]): readonly string[] {
  const cut = ids.map((id) => cutToBytes(id, SERIAL_BYTES));
  const isShared = (serial: string): boolean => cut.filter((one) => one === serial).length > 1;
  /** Ids that have room, each of the first that has it. */
  const isWhole = (i: number): boolean => cut[i] === ids[i] && ids.indexOf(ids[i] ?? '') === i;
  const taken = new Set<string>(cut.filter((_, i) => isWhole(i)));
  return cut.map((serial, i) => {
    const id = ids[i] ?? '';
    if (isWhole(i)) return serial;
    if (!isShared(serial) && !taken.has(serial)) {
      taken.add(serial);
      return serial;
    }
    for (let salt = 0; ; salt++) {
      const end = `-${fingerprint(`${id}${salt === 0 ? '' : `\0${salt}`}`)}`;
      const made = `${cutToBytes(id, SERIAL_BYTES - end.length)}${end}`;
      // A user may have given just that to another one.
      if (taken.has(made) || cut.includes(made)) continue;
      taken.add(made);
      return made;
    }
  });
}

/** Six digits of base 36. FNV-1a, 32 bits: nobody is to be kept from finding another text for it, salts see to that. */
function fingerprint(text: string): string {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash.toString(36).padStart(7, '0').slice(-6);
}

/** The longest beginning that fits, with no character cut in two. */
function cutToBytes(text: string, bytes: number): string {
  let cut = '';
  for (const char of text) {
    if (new TextEncoder().encode(cut + char).length > bytes) break;
    cut += char;
  }
  return cut;
}

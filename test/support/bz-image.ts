/**
 * A bzImage of one sector of set-up and a payload.
 *
 * @param size - of what is packed in it, appended as the kernel's build does it; left out for gzip, which says it itself
 */
export function bzImage(payload: Uint8Array, size?: number): Buffer {
  const appended = Buffer.alloc(size === undefined ? 0 : 4);
  if (size !== undefined) appended.writeUInt32LE(size);
  const head = Buffer.alloc(2 * 512 + 64);
  head[0x1f1] = 1;
  head.write('HdrS', 0x202, 'latin1');
  head.writeUInt32LE(64, 0x248);
  head.writeUInt32LE(payload.length + appended.length, 0x24c);
  return Buffer.concat([head, payload, appended]);
}

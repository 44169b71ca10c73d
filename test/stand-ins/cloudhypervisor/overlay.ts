import { readSync } from 'node:fs';

/** An overlay of qcow2, as its header tells of it. @see https://www.qemu.org/docs/master/interop/qcow2.html */
export interface Overlay {
  readonly sizeBytes: number;
  /** Of what is below it; undefined: nothing. */
  readonly base: string | undefined;
}

/** @returns undefined where it is none */
export function overlayIn(fd: number): Overlay | undefined {
  const head = Buffer.alloc(65_536);
  readSync(fd, head, 0, head.length, 0);
  if (head.toString('latin1', 0, 4) !== 'QFI\xfb') return undefined;
  const at = Number(head.readBigUInt64BE(8));
  const length = head.readUInt32BE(16);
  return {
    sizeBytes: Number(head.readBigUInt64BE(24)),
    base: at === 0 ? undefined : head.toString('utf8', at, at + length),
  };
}

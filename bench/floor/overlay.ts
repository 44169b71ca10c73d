import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';

const CLUSTER = 65_536;

/**
 * How an empty overlay looks, so that more can be written by hand: the
 * clusters that hold anything, and the length.
 */
export class OverlayBytes {
  readonly #parts: readonly { readonly at: number; readonly bytes: Buffer }[];
  readonly #length: number;

  /** @param scratch - where one is made by the tool, and taken away */
  constructor(backing: string, scratch: string) {
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', backing, scratch], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const bytes = readFileSync(scratch);
    rmSync(scratch);
    this.#length = bytes.length;
    this.#parts = Array.from({ length: Math.ceil(bytes.length / CLUSTER) }, (_, i) => i * CLUSTER)
      .map((at) => ({ at, bytes: trimmed(bytes.subarray(at, at + CLUSTER)) }))
      .filter((part) => part.bytes.length > 0);
  }

  write(path: string): void {
    const file = openSync(path, 'wx', 0o600);
    try {
      for (const { at, bytes } of this.#parts) writeSync(file, bytes, 0, bytes.length, at);
      ftruncateSync(file, this.#length);
    } finally {
      closeSync(file);
    }
  }
}

/** Without the zeros at the end. */
function trimmed(bytes: Buffer): Buffer {
  let length = bytes.length;
  while (length > 0 && bytes[length - 1] === 0) length--;
  return bytes.subarray(0, length);
}

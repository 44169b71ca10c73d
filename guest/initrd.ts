import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { cpio } from './cpio.ts';
import { writeDemoTree } from './demo-tree.ts';

/** A kernel module, unpacked: its name, and the file's content. */
export interface Module {
  readonly name: string;
  readonly content: Uint8Array;
}

/**
 * Writes the initrd of docs/guests.md: the demo system, and guest/initrd/init
 * in front of it.
 *
 * @param scratch - a directory that is not there yet
 * @param modules - loaded always, in this order; none for a kernel that has all built in
 * @param seed - loaded where a disk carries the seed of cloud-init
 * @param overlay - loaded where the root is read-only
 */
export function writeInitrd(
  file: string,
  scratch: string,
  modules: readonly Module[] = [],
  seed: readonly Module[] = [],
  overlay: readonly Module[] = [],
): void {
  writeDemoTree(scratch);
  for (const name of ['init', 'in-root.sh'])
    copyFileSync(join(import.meta.dirname, 'initrd', name), join(scratch, name));
  mkdirSync(join(scratch, 'newroot'));
  const directory = join(scratch, 'lib/modules');
  mkdirSync(directory, { recursive: true });
  for (const { name, content } of [...modules, ...seed, ...overlay])
    writeFileSync(join(directory, `${name}.ko`), content);
  for (const [list, names] of [
    ['order', modules],
    ['seed', seed],
    ['overlay', overlay],
  ] as const)
    writeFileSync(join(directory, list), names.map(({ name }) => `${name}\n`).join(''));
  writeFileSync(file, named(gzipSync(cpio(scratch), { level: 9 })));
}

/** By this name the daemon knows an initrd that runs what an archive behind it says (`src/images/boot/our-initrd.ts`). */
const NAME = 'flintlock-initrd.1';
const FLAGS_AT = 3;
const HAS_NAME = 8;
const HEAD_BYTES = 10;

/** Puts the name into a gzip file's head, where gunzip and Linux pass over it (RFC 1952). */
function named(packed: Buffer): Buffer {
  const head = Buffer.from(packed.subarray(0, HEAD_BYTES));
  head[FLAGS_AT] = HAS_NAME;
  return Buffer.concat([head, Buffer.from(`${NAME}\0`, 'latin1'), packed.subarray(HEAD_BYTES)]);
}

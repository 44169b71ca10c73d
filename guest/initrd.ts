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
  writeFileSync(file, gzipSync(cpio(scratch), { level: 9 }));
}

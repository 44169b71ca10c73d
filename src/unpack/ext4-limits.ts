import { show } from '../tar/bad-tar.ts';
import type { Bytes, TarEntry } from '../tar/entry.ts';
import { invalid } from './refusal.ts';

/** A block of 4 KiB, less its header and the end of its list. @see "Extended Attributes" in the kernel's ext4 documentation */
const BLOCK_BYTES = 4096 - 32 - 4;
/** Of an inode of 256 bytes: behind its 160 own ones, less the mark and the end of the list. */
const INODE_BYTES = 256 - 160 - 4 - 4;
const ENTRY_BYTES = 16;
/** Of a file: 2^32 blocks. */
const MAX_FILE_BYTES = 2 ** 44 - 4096;
const MAX_MAJOR = 0xfff;
const MAX_MINOR = 0xf_ffff;
/** Names of one file. @see EXT4_LINK_MAX */
export const MAX_NAMES = 65_000;

const round4 = (bytes: number): number => (bytes + 3) & ~3;

/** Namespaces are a number in ext4. */
const shortName = (name: Bytes): number => name.length - (name.indexOf('.') + 1);

/**
 * Refuses what the file system of a disk cannot hold, before anything is
 * written: Linux would say that there is no space left.
 * @throws Refusal
 */
export function requireFits(entry: TarEntry, xattrs: ReadonlyMap<Bytes, Bytes>): void {
  const size = entry.sparse?.size ?? entry.size;
  if (size > MAX_FILE_BYTES)
    throw invalid(
      `its file ${show(entry.name)} is of ${size} bytes, and ${MAX_FILE_BYTES} are the most that a disk can hold`,
    );
  const [major, minor] = entry.device;
  if (major < 0 || major > MAX_MAJOR || minor < 0 || minor > MAX_MINOR)
    throw invalid(`its file ${show(entry.name)} is the device ${major}:${minor}, which Linux cannot have`);
  let inode = INODE_BYTES;
  let block = BLOCK_BYTES;
  for (const [name, value] of xattrs) {
    const needed = ENTRY_BYTES + round4(shortName(name)) + round4(value.length);
    if (needed <= inode) inode -= needed;
    else block -= needed;
    if (block < 0)
      throw invalid(
        `its file ${show(entry.name)} has the attribute ${show(name)} of ${value.length} bytes, and a disk (ext4) can hold about ${BLOCK_BYTES} of all attributes of one file; make it smaller or leave it out`,
      );
  }
}

/**
 * What Linux lets a file of this kind have: `user.` attributes are of files and directories only; containerd skips the others too.
 * What overlayfs keeps for itself it shows to nobody.
 */
export function keptXattrs({ type, xattrs }: Pick<TarEntry, 'type' | 'xattrs'>): ReadonlyMap<Bytes, Bytes> {
  if (xattrs.size === 0) return xattrs;
  const mayBeUsers = type === 'file' || type === 'directory';
  const isKept = (name: Bytes): boolean =>
    !name.startsWith('trusted.overlay.') && (mayBeUsers || !name.startsWith('user.'));
  return new Map([...xattrs].filter(([name]) => isKept(name)));
}

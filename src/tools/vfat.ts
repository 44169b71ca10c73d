import { join } from 'node:path';
import { expected, type Tool } from './tool.ts';

/** What a metadata disk is formatted with. */
export const mkfsVfat: Tool = {
  program: 'mkfs.vfat',
  package: 'dosfstools',
  need: 'metadata-disks',
  async trial({ run, files, directory, limits }) {
    const disk = join(directory, 'disk');
    await files.write(disk, new Uint8Array(256 << 10));
    await run(['mkfs.vfat', '-n', 'CIDATA', '-i', 'f1171065', disk], limits);
    const head = Buffer.from((await files.read(disk, { maxBytes: 512 })) ?? []);
    expected('mkfs.vfat made no file system with the label that it was given', head.includes('CIDATA'));
  },
};

/** What puts the files on it. */
export const mcopy: Tool = {
  program: 'mcopy',
  package: 'mtools',
  need: 'metadata-disks',
  version: ['--version'],
  async trial({ run, files, directory, limits }) {
    const disk = join(directory, 'disk');
    const file = join(directory, 'user-data');
    await files.write(disk, fatDisk());
    await files.write(file, 'flintlock trial of mcopy');
    await run(['mcopy', '-i', disk, file, '::'], limits);
    const made = Buffer.from((await files.read(disk)) ?? []);
    expected('mcopy did not put its file on the disk', made.includes('flintlock trial of mcopy'));
  },
};

/** An empty FAT12 file system of 256 KiB: mcopy is tried without mkfs.vfat. @see ECMA-107 */
function fatDisk(): Uint8Array {
  const disk = Buffer.alloc(256 << 10);
  disk.write('\xeb\x3c\x90mkfs.fat', 'latin1');
  disk.writeUInt16LE(512, 11); // bytes a sector
  disk[13] = 4; // sectors a cluster
  disk.writeUInt16LE(1, 14); // reserved
  disk[16] = 1; // tables
  disk.writeUInt16LE(64, 17); // entries of the root directory
  disk.writeUInt16LE(512, 19); // sectors
  disk[21] = 0xf8;
  disk.writeUInt16LE(1, 22); // sectors a table
  disk.writeUInt16LE(32, 24);
  disk.writeUInt16LE(2, 26);
  disk[38] = 0x29;
  disk.write('TRIAL      FAT12   ', 43, 'latin1');
  disk.write('\x55\xaa', 510, 'latin1');
  disk.write('\xf8\xff\xff', 512, 'latin1');
  return disk;
}

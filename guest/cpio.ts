import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A directory as a cpio archive of the form "newc", which the kernel unpacks
 * as its first root. Everything belongs to root and has no times, so that the
 * same files make the same archive.
 *
 * @see https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
 */
export function cpio(directory: string): Buffer {
  const parts: Buffer[] = [];
  const pad = (length: number): Buffer => Buffer.alloc((4 - (length % 4)) % 4);
  let inode = 1;
  const entry = (name: string, mode: number, data: Buffer): void => {
    // The format counts bytes, and a name may have more of them than letters.
    const path = Buffer.from(`${name}\0`);
    const fields = [inode++, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, path.length, 0];
    const head = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`);
    parts.push(head, path, pad(head.length + path.length), data, pad(data.length));
  };
  const walk = (path: string): void => {
    for (const name of readdirSync(join(directory, path)).sort()) {
      const inside = path === '' ? name : `${path}/${name}`;
      const file = join(directory, inside);
      const stat = lstatSync(file);
      if (stat.isSymbolicLink()) entry(inside, 0o120777, Buffer.from(readlinkSync(file)));
      else if (stat.isDirectory()) {
        entry(inside, 0o040000 | (stat.mode & 0o7777), Buffer.alloc(0));
        walk(inside);
      } else if (stat.isFile()) entry(inside, 0o100000 | (stat.mode & 0o7777), readFileSync(file));
      else throw new Error(`Cannot pack ${file}: neither file, directory nor symlink`);
    }
  };
  walk('');
  inode = 0;
  entry('TRAILER!!!', 0, Buffer.alloc(0));
  return Buffer.concat(parts);
}

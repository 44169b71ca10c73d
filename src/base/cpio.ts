/** A file of an archive: its path without a leading `/`, in a directory or not, and what is in it. */
export type PackedFile = readonly [path: string, content: Uint8Array];

const DIRECTORY = 0o040700;
/** Root's alone. */
const FILE = 0o100600;

/**
 * Files and their directories as a cpio archive of the form "newc", which Linux unpacks behind another one where it begins
 * at a multiple of four bytes. Everything belongs to root, and has no times.
 *
 * @see https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
 */
export function packCpio(files: readonly PackedFile[]): Uint8Array {
  const parts: Uint8Array[] = [];
  const pad = (length: number): Uint8Array => new Uint8Array((4 - (length % 4)) % 4);
  let inode = 1;
  const add = (name: string, mode: number, data: Uint8Array): void => {
    // The format counts bytes, and a name may have more of them than letters.
    const path = new TextEncoder().encode(`${name}\0`);
    const fields = [inode++, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, path.length, 0];
    const head = new TextEncoder().encode(`070701${fields.map((one) => one.toString(16).padStart(8, '0')).join('')}`);
    parts.push(head, path, pad(head.length + path.length), data, pad(data.length));
  };
  const directories = new Set<string>();
  for (const [path, content] of files) {
    for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) directories.add(path.slice(0, at));
    for (const directory of directories) add(directory, DIRECTORY, new Uint8Array());
    directories.clear();
    add(path, FILE, content);
  }
  inode = 0;
  add('TRAILER!!!', 0, new Uint8Array());
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

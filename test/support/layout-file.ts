import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** One file of an image that `npm run setup` or `npm run images` made. @param image - `oci:LAYOUT:TAG` */
export function fileOfImage(image: string, path: string): Buffer {
  const directory = mkdtempSync(join(tmpdir(), 'flintlock-file-'));
  try {
    execFileSync('umoci', ['raw', 'unpack', '--image', image.replace(/^oci:/, ''), join(directory, 'tree')]);
    return readFileSync(join(directory, 'tree', path));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { ImageFile } from '../../guest/make-image.ts';

/** The host's blkid with its libraries, as files of an image: the demo guest's busybox has none. */
export function blkidFiles(): Record<string, ImageFile> {
  const libraries = execFileSync('ldd', ['/sbin/blkid'], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g);
  const paths = ['/sbin/blkid', ...[...libraries].map(([, path = '']) => path)];
  return Object.fromEntries(paths.map((path) => [path, { content: readFileSync(path), mode: 0o755 }]));
}

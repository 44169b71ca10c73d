import type { FileInfo, Files } from '../ports/host.ts';

/** As many symlinks as Linux follows in one path. @see path_resolution(7) */
const MAX_LINKS = 40;

export interface Found {
  /** On the host, with no symlink in it below the root. */
  readonly path: string;
  readonly info: FileInfo;
}

/**
 * Follows a path as a process would for which `root` is `/`: an absolute
 * symlink begins at the root again, and `..` does not leave it. So what is
 * found lies in the tree, whatever the image says.
 *
 * @returns undefined when there is nothing, or the path loops
 */
export async function findInTree(files: Files, root: string, path: string): Promise<Found | undefined> {
  if (path.includes('\0')) return undefined;
  const left = path.split('/');
  const at: string[] = [];
  let links = 0;
  let info = await files.stat(root);
  while (left.length > 0) {
    const name = left.shift();
    if (name === undefined || name === '' || name === '.') continue;
    if (name === '..') {
      at.pop();
      continue;
    }
    const here = [root, ...at, name].join('/');
    info = await files.stat(here);
    if (!info) return undefined;
    if (info.kind === 'symlink') {
      if (++links > MAX_LINKS) return undefined;
      const target = await files.readLink(here);
      if (target.startsWith('/')) at.length = 0;
      left.unshift(...target.split('/'));
      continue;
    }
    if (info.kind !== 'directory' && left.some((part) => part !== '')) return undefined;
    at.push(name);
  }
  const found = [root, ...at].join('/');
  info = await files.stat(found);
  return info && { path: found, info };
}

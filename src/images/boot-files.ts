import { Fault } from '../domain/fault.ts';
import { shorten } from '../domain/labels.ts';
import type { Files } from '../ports/host.ts';
import { findInTree } from './tree-path.ts';

export type Role = 'kernel' | 'initrd';

/** Tried in this order when the spec names no file: an image made for microVMs first, then a distribution's. */
const NAMES: Readonly<Record<Role, readonly string[]>> = {
  kernel: ['vmlinux', 'boot/vmlinux', 'vmlinuz', 'boot/vmlinuz', 'bzImage', 'boot/bzImage'],
  initrd: ['initrd', 'boot/initrd', 'initrd.img', 'boot/initrd.img'],
};
/** What distributions call theirs, in `boot/`: the newest version is taken. */
const VERSIONED: Readonly<Record<Role, RegExp>> = {
  kernel: /^vmlinu[xz]-(.+)$/,
  initrd: /^(?:initrd\.img|initrd|initramfs)-(.+?)(?:\.img)?$/,
};
/** What lies beside them and is none. */
const OTHER = /\.(old|bak|sig|hmac|dpkg-\w+)$/;
const LIKELY: Readonly<Record<Role, RegExp>> = { kernel: /vmlinu|image|kernel/i, initrd: /init/i };
const MAX_SHOWN = 8;

export interface BootFile {
  /** Its name in the image, without a leading `/`. */
  readonly filename: string;
  /** Where it lies on the host: in the tree, with no symlink. */
  readonly path: string;
}

/**
 * Finds a kernel or initrd in an image's tree.
 * @param filename - from the image's root; absent or empty: the well-known names
 * @throws Fault `not_found` KernelNotFound, with what the image has instead
 */
export async function findBootFile(files: Files, tree: string, role: Role, filename?: string): Promise<BootFile> {
  if (filename) return findNamed(files, tree, role, filename);
  for (const name of NAMES[role]) {
    const path = await regular(files, tree, name);
    if (path !== undefined) return { filename: name, path };
  }
  for (const name of newestFirst(await listIn(files, tree, 'boot'), VERSIONED[role])) {
    const path = await regular(files, tree, `boot/${name}`);
    if (path !== undefined) return { filename: `boot/${name}`, path };
  }
  const tried = [...NAMES[role], ...(role === 'kernel' ? ['boot/vmlinux-*', 'boot/vmlinuz-*'] : ['boot/initrd.img-*'])];
  throw missing(
    `Cannot find the ${role} in the image: it has none of ${tried.join(', ')}`,
    await likely(files, tree, role),
  );
}

async function findNamed(files: Files, tree: string, role: Role, filename: string): Promise<BootFile> {
  const parts = filename.split('/').filter((part) => part !== '' && part !== '.');
  const shown = `"${shorten(filename)}"`;
  if (leaves(parts))
    throw new Fault('invalid', `Cannot take ${shown} as ${role}: it leaves the image`, { reason: 'KernelNotFound' });
  const found = parts.length > 0 ? await findInTree(files, tree, parts.join('/')) : undefined;
  if (found?.info.kind === 'file') return { filename: parts.join('/'), path: found.path };
  const state = found ? `it is no regular file (${found.info.kind})` : 'there is no such file in the image';
  throw missing(`Cannot take ${shown} as ${role}: ${state}`, await likely(files, tree, role));
}

/** Whether a path has more `..` than directories before them. */
function leaves(parts: readonly string[]): boolean {
  let depth = 0;
  return parts.some((part) => {
    depth += part === '..' ? -1 : 1;
    return depth < 0;
  });
}

function missing(message: string, candidates: readonly string[]): Fault {
  const has = candidates.length > 0 ? `; the image has ${candidates.map(shorten).join(', ')}` : '';
  return new Fault('not_found', `${message}${has}; name the file in "filename"`, { reason: 'KernelNotFound' });
}

/** A few regular files at the root and in `boot/` that may be meant; else whatever is at the root. */
async function likely(files: Files, tree: string, role: Role): Promise<readonly string[]> {
  const root = await listIn(files, tree, '');
  const all = [...root, ...(await listIn(files, tree, 'boot')).map((name) => `boot/${name}`)];
  const meant = all.filter((name) => name !== 'boot' && LIKELY[role].test(name.replace(/^boot\//, '')));
  return (meant.length > 0 ? meant : root).slice(0, MAX_SHOWN);
}

/** A version sort: `6.1.0-18` is newer than `6.1.0-9`. Of equals an uncompressed kernel boots sooner. */
export function newestFirst(names: readonly string[], pattern: RegExp): readonly string[] {
  const order = new Intl.Collator('en', { numeric: true });
  return names
    .flatMap((name) => {
      const version = OTHER.test(name) ? undefined : pattern.exec(name)?.[1];
      return version === undefined ? [] : [{ name, version }];
    })
    .sort((a, b) => order.compare(b.version, a.version) || order.compare(a.name, b.name))
    .map(({ name }) => name);
}

async function regular(files: Files, tree: string, name: string): Promise<string | undefined> {
  const found = await findInTree(files, tree, name);
  return found?.info.kind === 'file' ? found.path : undefined;
}

async function listIn(files: Files, tree: string, name: string): Promise<readonly string[]> {
  const found = await findInTree(files, tree, name);
  return found?.info.kind === 'directory' ? files.list(found.path) : [];
}

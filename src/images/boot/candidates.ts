import type { Files } from '../../ports/host.ts';
import { findInTree } from '../tree-path.ts';
import { elsewhere } from './elsewhere.ts';
import { compareReleases } from './releases.ts';
import type { Role } from './roles.ts';

/** A file that may be meant when the spec names none. */
export interface Candidate {
  /** Its name in the image, without a leading `/`. */
  readonly filename: string;
  /** Where it lies on the host: in the tree, with no symlink. */
  readonly path: string;
  readonly sizeBytes: number;
  /** By its name, or by that of the file that it is a link to; absent where neither says. */
  readonly release?: string;
  /** Candidates of a group are alike but for what they are; an earlier group is preferred to a later one. */
  readonly group: 'well-known' | 'of a release' | 'at the root' | 'elsewhere';
}

/** In an image made for microVMs; or links that a distribution keeps to what it would boot. */
export const WELL_KNOWN: Readonly<Record<Role, readonly string[]>> = {
  kernel: inRootAndBoot('vmlinux', 'vmlinuz', 'bzImage', 'vmlinux.bin', 'Image', 'kernel'),
  initrd: inRootAndBoot('initrd', 'initrd.img', 'initramfs', 'initramfs.img', 'initrd.gz', 'initramfs.cpio.gz'),
};
/** What distributions call theirs in `boot/`. */
const VERSIONED: Readonly<Record<Role, RegExp>> = {
  kernel: /^(?:vmlinu[xz]|bzImage|Image|kernel)-(.+)$/,
  initrd: /^(?:initrd\.img|initrd|initramfs)-(.+?)(?:\.img)?$/,
};
/**
 * And in a release's own directory: where systems are made as images, and where the Boot Loader Specification has them.
 * The last of the kernels is for EFI firmware alone, and so told of.
 */
const IN_RELEASE: Readonly<Record<Role, readonly string[]>> = {
  kernel: ['vmlinux', 'vmlinuz', 'bzImage', 'linux', 'Image', 'vmlinuz-virt.efi'],
  initrd: ['initramfs.img', 'initrd.img', 'initrd', 'initramfs'],
};
const MODULES = ['usr/lib/modules', 'lib/modules'];
/**
 * Where that specification begins: below them a machine-id, or another name of the installation, and then releases.
 * @see https://uapi-group.org/specifications/specs/boot_loader_specification/
 */
const BOOT_ROOTS = ['boot', 'efi', 'boot/efi'];
const IN_BOOT_ROOT = /^(?:boot|efi|boot\/efi)\/[^/]+$/;
/** And unified kernel images, which are none for us: so that it is said what they are. */
const UNIFIED = 'EFI/Linux';
/** What lies beside them and is none. */
const OTHER = /\.(old|bak|sig|p7s|hmac|sha\d+\w*|dpkg-\w+)$/;
/** As many releases as are looked at, of each place, newest first. */
const MAX_RELEASES = 32;
/** An image with so few files at its root may have nothing but what is meant. */
const MAX_AT_ROOT = 16;

/** Tried in this order where nothing else decides. */
function inRootAndBoot(...names: readonly string[]): readonly string[] {
  return names.flatMap((name) => [name, `boot/${name}`]);
}

/** All of them, best place first; files only. */
export async function candidatesOf(files: Files, tree: string, role: Role): Promise<readonly Candidate[]> {
  const found: Candidate[] = [];
  const add = async (filename: string, group: Candidate['group'], release?: string): Promise<void> => {
    const at = await findInTree(files, tree, filename);
    if (at?.info.kind !== 'file') return;
    const linked = release ?? releaseIn(role, at.path.slice(tree.length + 1));
    const one = { filename, path: at.path, sizeBytes: at.info.sizeBytes, group };
    found.push(linked === undefined ? one : { ...one, release: linked });
  };
  for (const name of WELL_KNOWN[role]) await add(name, 'well-known');
  for (const { filename, release } of await versioned(files, tree, role)) await add(filename, 'of a release', release);
  const root = await listIn(files, tree, '');
  if (root.length <= MAX_AT_ROOT)
    for (const name of root) if (!name.startsWith('.') && !OTHER.test(name)) await add(name, 'at the root');
  // Looked for only where nothing is known to lie.
  if (found.every(({ group }) => group === 'at the root'))
    for (const name of await elsewhere(files, tree, role)) if (!OTHER.test(name)) await add(name, 'elsewhere');
  // By two ways to the same file the first one is its name.
  return found.filter((one, i) => found.findIndex(({ path }) => path === one.path) === i);
}

async function versioned(files: Files, tree: string, role: Role) {
  const inBoot = (await listIn(files, tree, 'boot')).flatMap((name) => {
    const release = OTHER.test(name) ? undefined : VERSIONED[role].exec(name)?.[1];
    return release === undefined ? [] : [{ filename: `boot/${name}`, release }];
  });
  const directories = [...MODULES];
  const unified: { filename: string; release: string }[] = [];
  for (const root of BOOT_ROOTS) {
    for (const name of await listIn(files, tree, root)) directories.push(`${root}/${name}`);
    const names = role === 'kernel' ? await listIn(files, tree, `${root}/${UNIFIED}`) : [];
    for (const name of names)
      if (name.endsWith('.efi'))
        unified.push({ filename: `${root}/${UNIFIED}/${name}`, release: name.slice(0, -'.efi'.length) });
  }
  const all = [newestFirst(inBoot), newestFirst(unified)];
  for (const directory of directories.slice(0, MAX_RELEASES)) {
    const releases = newestFirst((await listIn(files, tree, directory)).map((release) => ({ release })));
    all.push(
      releases.flatMap(({ release }) =>
        IN_RELEASE[role].map((name) => ({ filename: `${directory}/${release}/${name}`, release })),
      ),
    );
  }
  return all.flat().sort((a, b) => compareReleases(a.release, b.release));
}

const newestFirst = <T extends { readonly release: string }>(all: readonly T[]): readonly T[] =>
  all.toSorted((a, b) => compareReleases(a.release, b.release)).slice(0, MAX_RELEASES);

/** Of `boot/vmlinuz-6.1.0`, or `usr/lib/modules/6.1.0/vmlinuz`. */
export function releaseIn(role: Role, filename: string): string | undefined {
  const parts = filename.split('/');
  const name = parts.at(-1) ?? '';
  const directory = parts.slice(0, -2).join('/');
  if (MODULES.includes(directory) || IN_BOOT_ROOT.test(directory)) return parts.at(-2);
  return VERSIONED[role].exec(name)?.[1];
}

export async function listIn(files: Files, tree: string, name: string): Promise<readonly string[]> {
  const found = await findInTree(files, tree, name);
  return found?.info.kind === 'directory' ? files.list(found.path) : [];
}

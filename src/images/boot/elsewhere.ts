import type { Files } from '../../ports/host.ts';
import type { Role } from './roles.ts';

/** By such names those are called that lie in no place of a distribution's own: beside others, or with a store's prefix. */
const NAMES: Readonly<Record<Role, RegExp>> = {
  kernel: /^(?:vmlinu[xz]|bzImage)(?:[-._].*)?$|[-_](?:vmlinu[xz]|bzImage)$/,
  initrd: /^(?:initrd|initramfs)(?:[-._].*)?$|[-_](?:initrd|initramfs)$/,
};
/** Where systems keep everything but kernels; and what is a guest's own when it runs. */
const NOT_IN = /^(?:usr|etc|var|s?bin|lib\w*|dev|proc|sys|run|tmp|home|root|srv|media|mnt)$/;
/** Of a tree that ostree has not deployed. */
const BESIDES = ['usr/lib/ostree-boot'];
/** `boot/ostree/NAME/vmlinuz-RELEASE` is the deepest that is known. */
const MAX_DEPTH = 3;
const MAX_SEEN = 2_000;

/** Files that are called so, however deep below the root's own directories: `boot/` first, what is nearer before what is deeper. */
export async function elsewhere(files: Files, tree: string, role: Role): Promise<readonly string[]> {
  const found: string[] = [];
  let seen = 0;
  const kindOf = async (path: string) => (await files.stat(`${tree}/${path}`))?.kind;
  const namesIn = async (path: string): Promise<readonly string[]> =>
    (await kindOf(path)) === 'directory' ? (await files.list(`${tree}/${path}`)).toSorted() : [];
  const top = (await files.list(tree)).filter((name) => !NOT_IN.test(name) && name !== 'boot').toSorted();
  let level: readonly string[] = ['boot', ...BESIDES, ...top];
  for (let depth = 1; depth <= MAX_DEPTH; depth++) {
    const below: string[] = [];
    for (const directory of level)
      for (const name of await namesIn(directory)) {
        if (++seen > MAX_SEEN) return found;
        const path = `${directory}/${name}`;
        if (NAMES[role].test(name)) found.push(path);
        else below.push(path);
      }
    level = below;
  }
  return found;
}

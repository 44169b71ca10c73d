import { dirname } from 'node:path';
import { allDone } from '../base/all-done.ts';
import { shorten } from '../domain/labels.ts';
import type { Files } from '../ports/host.ts';
import { type LocalReference, nameOf } from './reference.ts';

/**
 * Whether a local reference lies under an allowed directory, symlinks
 * resolved on both sides. What is not there is judged by the directory in
 * which it would be, so that the answer tells nothing of the rest of the host.
 *
 * @returns the real path, or what is wrong as a sentence
 */
export async function allow(
  files: Files,
  roots: readonly string[],
  reference: LocalReference,
): Promise<{ readonly path: string } | { readonly wrong: string }> {
  const shown = shorten(nameOf(reference));
  if (roots.length === 0)
    return { wrong: `image "${shown}" is a local one, and the daemon allows none; start it with --image-root DIR` };
  const wrong = `image "${shown}" must lie under ${roots.join(' or ')} (--image-root)`;
  const [path, ...reals] = await allDone([
    nearestReal(files, reference.path),
    ...roots.map((root) => files.realPath(root).catch(() => undefined)),
  ]);
  if (path === undefined || path.includes(':')) return { wrong };
  for (const real of reals) {
    // The directory itself may be a layout.
    if (real !== undefined && (path === real || path.startsWith(real === '/' ? real : `${real}/`))) return { path };
  }
  return { wrong };
}

/** The real path of what is there, and the rest as it is written. */
async function nearestReal(files: Files, path: string): Promise<string | undefined> {
  let there = path;
  for (;;) {
    let real: string | undefined;
    try {
      real = await files.realPath(there);
    } catch {
      return undefined; // e.g. a loop of symlinks
    }
    if (real !== undefined)
      return real === '/' ? `/${path.slice(there.length).replace(/^\//, '')}` : real + path.slice(there.length);
    // A symlink to nothing must not be taken for a name that is free.
    if ((await files.stat(there)) !== undefined || there === '/') return undefined;
    there = dirname(there);
  }
}

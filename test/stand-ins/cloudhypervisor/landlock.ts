import { readlinkSync, realpathSync } from 'node:fs';

/** What a machine may open, once it has shut itself out of all else. */
export type MayOpen = (path: string, forWriting: boolean) => boolean;

interface Rule {
  readonly path: string;
  /** `r`, `w` or both. */
  readonly access: string;
}

/** Where a path leads to, past all links: also those of /proc that name a descriptor. */
function target(path: string): string | undefined {
  try {
    const [, descriptor, rest = ''] = /^(\/+proc\/self\/fd\/\d+)(\/.+)?$/.exec(path) ?? [];
    // Past directories that its user may not look into.
    return descriptor === undefined ? realpathSync.native(path) : `${readlinkSync(descriptor)}${rest}`;
  } catch {
    return undefined;
  }
}

/** By rules for files and for what is beneath directories. One for what is not there is none, as in the real program. */
export function confined(rules: readonly Rule[]): MayOpen {
  const allowed = rules.flatMap(({ path, access }) => {
    const real = target(path);
    return real === undefined ? [] : [{ real, access }];
  });
  return (path, forWriting) => {
    const real = target(path) ?? path;
    const wanted = forWriting ? ['r', 'w'] : ['r'];
    return wanted.every((letter) =>
      allowed.some(
        ({ real: above, access }) => access.includes(letter) && (real === above || real.startsWith(`${above}/`)),
      ),
    );
  };
}

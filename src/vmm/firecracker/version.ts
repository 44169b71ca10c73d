/** The first that is known to do what is asked of it. */
export const OLDEST = { major: 1, minor: 7 } as const;
/** Has a PCI bus where it is told so. */
export const WITH_PCI = { major: 1, minor: 13 } as const;
/** Has a balloon that takes back what the guest has freed. */
export const WITH_REPORTING = { major: 1, minor: 14 } as const;
/** Tells the guest what its packets may measure. @see https://github.com/firecracker-microvm/firecracker/blob/main/CHANGELOG.md */
export const WITH_MTU = { major: 1, minor: 16 } as const;
/** Boots a bzImage too. */
export const WITH_BZIMAGE = { major: 1, minor: 17 } as const;

export interface Version {
  readonly major: number;
  readonly minor: number;
  /** As it tells it: `1.17.0-dev`. */
  readonly text: string;
}

/**
 * @param said - what `--version` wrote: `Firecracker v1.17.0-dev`, then perhaps a line of its log
 * @returns undefined where that is no Firecracker's
 */
export function versionIn(said: string): Version | undefined {
  const [, text = '', major = '', minor = ''] = /^Firecracker v((\d+)\.(\d+)\.\S+)/m.exec(said) ?? [];
  return text === '' ? undefined : { major: Number(major), minor: Number(minor), text };
}

/** @param said - what a jailer's `--version` wrote: `Jailer v1.17.0-dev` */
export const jailerVersionIn = (said: string): string | undefined => /^Jailer v(\d+\.\d+\.\S+)/m.exec(said)?.[1];

export const isFrom = (version: Pick<Version, 'major' | 'minor'>, first: Pick<Version, 'major' | 'minor'>): boolean =>
  version.major > first.major || (version.major === first.major && version.minor >= first.minor);

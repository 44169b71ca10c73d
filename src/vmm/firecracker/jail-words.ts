import { Fault } from '../../domain/fault.ts';

const OFF = 'or turn the jail off with --firecracker-jail off';

/** What starter and jailer say when they fail, and what it means. */
const WORDS: readonly (readonly [RegExp, (found: string) => string])[] = [
  [/^flintlock: (cannot run .*)$/m, (found) => `${found}. Is the jailer being replaced?`],
  [/^flintlock: (?!before Firecracker)(.*)$/m, (found) => found],
  [
    /^(Failed to create \S+ via mknod inside the jail: .*)$/m,
    (found) => `${found}. A container needs CAP_MKNOD and its devices' permission for that; give it these, ${OFF}`,
  ],
  [
    /^(Failed to exec into Firecracker: .*)$/m,
    (found) => `${found}. Only a static program runs in a jail, as those of the releases are; take one, ${OFF}`,
  ],
  [/^(Failed to .*)$/m, (found) => found],
];

/** What another try may not meet: the program is another by then. */
const PASSING = /^flintlock: cannot run |No space left|Cannot allocate memory|Device or resource busy/m;

/**
 * Why there was no jail.
 * @param errors - the end of standard error of who was to make it
 * @returns undefined where it was not the jail that failed
 */
export function jailRefusal(errors: string): Fault | undefined {
  for (const [pattern, tell] of WORDS) {
    const found = pattern.exec(errors)?.[1];
    if (found !== undefined)
      return new Fault(PASSING.test(errors) ? 'tool' : 'refused', `Cannot jail Firecracker: ${tell(found)}`, {
        reason: 'ProviderRefused',
      });
  }
  return undefined;
}

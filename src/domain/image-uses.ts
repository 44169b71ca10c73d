import type { LedgerEntry, Owner } from './ledger.ts';

/** The microVMs that hold one image. */
export interface ImageUse {
  readonly owner: Owner;
  /** Absent while the hold is being made: then only the reference is known. */
  readonly digest?: string;
  readonly reference: string;
}

/** Who holds what, from the ledger's `image` entries. An entry that cannot be read holds nothing that has a name. */
export function imageUses(entries: readonly LedgerEntry[]): readonly ImageUse[] {
  return entries
    .filter(({ kind }) => kind === 'image')
    .map(({ owner, key, made, result }) => {
      const digest = made ? textIn(result, 'digest') : undefined;
      return { owner, reference: key, ...(digest !== undefined && { digest }) };
    });
}

/** For the cache: what must not be removed. */
export function imagesInUse(uses: readonly ImageUse[]): {
  readonly digests: ReadonlySet<string>;
  readonly references: ReadonlySet<string>;
} {
  return {
    digests: new Set(uses.flatMap(({ digest }) => digest ?? [])),
    references: new Set(uses.filter(({ digest }) => digest === undefined).map(({ reference }) => reference)),
  };
}

function textIn(value: unknown, key: string): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const found: unknown = Object.entries(value).find(([name]) => name === key)?.[1];
  return typeof found === 'string' ? found : undefined;
}

import type { LedgerEntry, UnreadableRow } from './ledger.ts';
import type { Uid } from './microvm.ts';

/** The microVMs that hold one image. */
export interface ImageUse {
  readonly owner: Uid;
  /** Absent while the hold is being made: then only the reference is known. */
  readonly digest?: string;
  readonly reference: string;
}

/** What of the ledger says who holds images. */
export interface Holds {
  ofKind(kind: 'image'): readonly LedgerEntry<'image'>[];
  unreadable(): readonly UnreadableRow[];
}

/** Who holds what. */
export const imageUses = (ledger: Pick<Holds, 'ofKind'>): readonly ImageUse[] =>
  ledger
    .ofKind('image')
    .map(({ owner, key, result }) => ({ owner: owner.uid, reference: key, ...(result && { digest: result.digest }) }));

/** For the cache: what must not be removed. */
export function imagesInUse(ledger: Holds): {
  readonly digests: ReadonlySet<string>;
  readonly references: ReadonlySet<string>;
  readonly isWhole: boolean;
} {
  const uses = imageUses(ledger);
  return {
    digests: new Set(uses.flatMap(({ digest }) => digest ?? [])),
    references: new Set(uses.filter(({ digest }) => digest === undefined).map(({ reference }) => reference)),
    // A row that cannot be read may hold any image.
    isWhole: ledger.unreadable().length === 0,
  };
}

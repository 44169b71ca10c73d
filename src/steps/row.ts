import { z } from 'zod';
import {
  CACHE_KINDS,
  type Entry,
  HOST_STEP_KINDS,
  LEDGER_KINDS,
  type LedgerEntry,
  type LedgerKind,
  type LedgerRows,
  type Owner,
  type OwnerOf,
  ownerText,
  parseOwner,
  type UnreadableRow,
  VM_STEP_KINDS,
} from '../domain/ledger.ts';
import type { StoredRow } from '../ports/ledger.ts';

/**
 * How the rows of a kind are stored. The schemas are strict: a field that they
 * do not name is an error, so that none is lost unseen.
 *
 * `version` is 1 at first, and one more for each change of what is written: a
 * program that knows fewer leaves the row alone. The schemas read the rows of
 * all versions up to it; what older ones lack has its default here, and
 * nowhere else. See `docs/adr/0033-rows-are-parsed.md`.
 */
export interface RowSchema<K extends LedgerKind> {
  readonly version: number;
  readonly intent: z.ZodType<LedgerRows[K]['intent']>;
  readonly result: z.ZodType<LedgerRows[K]['result']>;
}

export type RowSchemas = { readonly [K in LedgerKind]: { readonly row: RowSchema<K> } };

/** Parses a row by its kind's schema. */
export function readRow(kinds: RowSchemas, row: StoredRow): LedgerEntry | UnreadableRow {
  const kind = LEDGER_KINDS.find((one) => one === row.kind);
  const writer =
    row.program === '' ? 'the newer flintlockd that wrote it' : `flintlockd ${row.program}, which wrote it`;
  const owner = parseOwner(row.owner);
  if (owner === undefined)
    return unread(row, `this flintlockd does not know whose it is: start ${writer}, or a newer one`);
  if (kind === undefined) return unread(row, `this flintlockd does not know its kind: start ${writer}, or a newer one`);
  const { version } = kinds[kind].row;
  if (row.version > version)
    return unread(
      row,
      `it is of version ${row.version}, and this flintlockd knows ${version}: start ${writer}, or a newer one`,
    );
  return parse(kinds, kind, owner, row);
}

function parse<K extends LedgerKind>(
  kinds: { readonly [P in K]: { readonly row: RowSchema<P> } },
  kind: K,
  owner: Owner,
  row: StoredRow,
): LedgerEntry<K> | UnreadableRow {
  if (!owns(owner, kind)) return unread(row, `nothing of its kind is of ${ownerText(owner)}`);
  const schema = kinds[kind].row;
  const intent = inJson(row.intent, schema.intent);
  const result = row.made ? inJson(row.result, schema.result) : { is: undefined };
  if ('wrong' in intent) return unread(row, `its intent: ${intent.wrong}`);
  if ('wrong' in result) return unread(row, `its result: ${result.wrong}`);
  const { entry, key, made } = row;
  const read: Entry<K> = { entry, owner, kind, key, intent: intent.is, made, result: result.is };
  return read;
}

const OWNERS: Readonly<Record<Owner['is'], readonly LedgerKind[]>> = {
  vm: VM_STEP_KINDS,
  host: HOST_STEP_KINDS,
  images: CACHE_KINDS,
};
const owns = <K extends LedgerKind>(owner: Owner, kind: K): owner is OwnerOf<K> => OWNERS[owner.is].includes(kind);

const MAX_SHOWN = 3;

function inJson<T>(text: string, schema: z.ZodType<T>): { readonly is: T } | { readonly wrong: string } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { wrong: 'it is no JSON' };
  }
  const found = schema.safeParse(value);
  if (found.success) return { is: found.data };
  const issues = found.error.issues.map(({ path, message }) => [path.join('.'), message].filter(Boolean).join(': '));
  const more = issues.length > MAX_SHOWN ? `, and ${issues.length - MAX_SHOWN} more` : '';
  return { wrong: `${issues.slice(0, MAX_SHOWN).join('; ')}${more}` };
}

const unread = ({ entry, owner, kind, key }: StoredRow, why: string): UnreadableRow => ({
  ...{ entry, owner, kind, key },
  why,
});

/** Of acts that find nothing out. */
export const nothing = z.null();
/** A field that may be absent, and is never undefined. */
export const maybe = z.exactOptional;
export const text = z.string();
export const texts = z.array(text);
export const number = z.number();

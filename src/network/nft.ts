import { isObject, objectOf, objectsIn, type JsonObject as Row, textOf as text } from '../base/json.ts';
import { Fault } from '../domain/fault.ts';
import type { Run } from '../ports/host.ts';
import { printedBy, unreadable } from './printed.ts';

/** It waits for the kernel's netfilter lock only: milliseconds. */
const TIMEOUT_MS = 60_000;

/** The `nft` of nftables. */
export interface Nft {
  /** Applies a rule set in one transaction: whole or not at all. */
  apply(rules: string, signal: AbortSignal): Promise<void>;
  /** The same with statements of one line each. */
  change(statements: readonly string[], signal: AbortSignal): Promise<void>;
  tables(signal: AbortSignal): Promise<readonly { readonly family: string; readonly name: string }[]>;
  /** One table with all that is in it, each with its kind: `table`, `chain`, `rule`, `set`, `map`; undefined: it is not there. */
  table(family: string, name: string, signal: AbortSignal): Promise<readonly NftRow[] | undefined>;
  chains(signal: AbortSignal): Promise<readonly Chain[]>;
  /** What a set holds, as libnftables-json(5) has it; nothing where there is no such set. */
  elements(set: { readonly table: string; readonly name: string }, signal: AbortSignal): Promise<readonly unknown[]>;
}

export interface NftRow {
  readonly kind: string;
  /** As libnftables-json(5) has it. */
  readonly row: Readonly<Record<string, unknown>>;
}

interface Chain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  /** Empty where it is at none, but called by others. */
  readonly hook: string;
  /** Empty where it is at no hook. */
  readonly policy: string;
}

/** @param changes - runs `nft -f -` for statements of one line each: may be {@link createLiving} */
export function createNft(run: Run, changes: Run = run): Nft {
  const list = async (what: 'chains', signal: AbortSignal): Promise<readonly Row[]> =>
    parseRows(await run(['nft', '-j', 'list', what], { signal, timeoutMs: TIMEOUT_MS }), what.slice(0, -1));

  return {
    async apply(rules, signal) {
      await run(['nft', '-f', '-'], { signal, timeoutMs: TIMEOUT_MS, input: `${rules}\n` });
    },
    async change(statements, signal) {
      await changes(['nft', '-f', '-'], { signal, timeoutMs: TIMEOUT_MS, input: `${statements.join('\n')}\n` });
    },
    // No JSON: see below.
    tables: async (signal) =>
      (await run(['nft', 'list', 'tables'], { signal, timeoutMs: TIMEOUT_MS })).split('\n').flatMap((line) => {
        const [, family, name] = /^table (\S+) (\S+)/.exec(line.trim()) ?? [];
        return family !== undefined && name !== undefined ? [{ family, name }] : [];
      }),
    async table(family, name, signal) {
      try {
        const json = await run(['nft', '-j', 'list', 'table', family, name], { signal, timeoutMs: TIMEOUT_MS });
        // nftables 1.0.6 prints what happens to lie in its memory where a table has flags, as one that sleeps has.
        return isJson(json) ? rowsIn(json) : [{ kind: 'table', row: { family, name, flags: 'unreadable' } }];
      } catch (error) {
        if (error instanceof Fault && /No such file or directory/.test(error.message)) return undefined;
        throw error;
      }
    },
    chains: async (signal) =>
      (await list('chains', signal)).map((row) => ({
        family: text(row.family),
        table: text(row.table),
        name: text(row.name),
        hook: text(row.hook),
        policy: text(row.policy),
      })),
    async elements({ table, name }, signal) {
      try {
        const json = await run(['nft', '-j', 'list', 'set', ...table.split(' '), name], {
          signal,
          timeoutMs: TIMEOUT_MS,
        });
        return parseRows(json, 'set').flatMap(({ elem }) => (Array.isArray(elem) ? (elem as unknown[]) : []));
      } catch (error) {
        if (error instanceof Fault && /No such file or directory/.test(error.message)) return [];
        throw error;
      }
    },
  };
}

/** Naming a table makes it where it is not there, so that deleting it cannot fail. */
export const removal = (table: string): string => `table ${table}\ndelete table ${table}\n`;

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** `{"nftables": [{"metainfo": …}, {"table": {…}}, …]}`: the rows of one kind (libnftables-json(5)). */
const parseRows = (json: string, kind: string): readonly Row[] =>
  rowsIn(json).flatMap((one) => (one.kind === kind ? [one.row] : []));

function rowsIn(json: string): readonly NftRow[] {
  const { nftables } = objectOf(printedBy('nft', json));
  if (!Array.isArray(nftables)) throw unreadable('nft', json);
  return objectsIn(nftables).flatMap((one) =>
    Object.entries(one).flatMap(([kind, row]) => (isObject(row) ? [{ kind, row }] : [])),
  );
}

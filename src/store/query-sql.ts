import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import type { Query } from '../ports/store.ts';
import { selectorSql } from './selector-sql.ts';

/** Which records a query is for, and the values that are bound. */
type Asked = Omit<Query, 'limit' | 'maxBytes'>;
/** A selector may be written in endless ways, and at any length. */
const MAX_STATEMENTS = 100;
const MAX_KEPT_TEXT = 1_000;

/**
 * Reads columns of the records that a query is for, oldest first. A statement is compiled when its form is first asked
 * for.
 */
export function createQueries(sql: DatabaseSync, columns: string): (asked: Asked) => Iterable<Row> {
  const statements = new Map<string, StatementSync>();
  return (asked) => {
    const { text, values } = where(asked);
    const known = statements.get(text);
    if (known) return known.iterate(...values);
    const statement = sql.prepare(`SELECT ${columns} FROM vms ${text} ORDER BY uid`);
    if (statements.size >= MAX_STATEMENTS) statements.clear();
    if (text.length <= MAX_KEPT_TEXT) statements.set(text, statement);
    return statement.iterate(...values);
  };
}

type Row = Record<string, unknown>;

function where({ namespace, id, selector = [], after, gone = false }: Asked): {
  text: string;
  values: SQLInputValue[];
} {
  const conditions: string[] = [];
  const values: SQLInputValue[] = [];
  const add = (condition: string, ...bound: readonly SQLInputValue[]): void => {
    conditions.push(condition);
    values.push(...bound);
  };
  if (!gone) add('gone_at IS NULL');
  if (namespace !== undefined) add('namespace = ?', namespace);
  if (id !== undefined) add('id = ?', id);
  if (after !== undefined) add('uid > ?', after);
  for (const [sql, bound] of selectorSql(selector)) add(sql, ...bound);
  return { text: conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : '', values };
}

import { Fault } from '../domain/fault.ts';
import { type AnyEntry, entriesOf, type ResultOf, type VmStepKind } from '../domain/ledger.ts';

/**
 * The result of a step that was made before.
 * @throws Fault `tool` when it was not: the plan's order is wrong
 */
export function factOf<K extends VmStepKind>(entries: readonly AnyEntry[], kind: K, key: string): ResultOf<K> {
  const entry = entriesOf(entries, kind).find((e) => e.key === key);
  if (entry?.result === undefined)
    throw new Fault('tool', `The ledger has no ${kind} "${key}" yet: its step must come first`);
  return entry.result;
}

import type { Ledger } from '../../src/ports/ledger.ts';
import { schemas } from '../../src/steps/registry.ts';
import { Database } from '../../src/store/database.ts';
import { createLedger } from '../../src/store/ledger.ts';

/** A ledger that outlives only what a test makes: a second cache on the same one is a daemon's next life. */
export const memoryLedger = (): Ledger => ledgerIn(new Database(':memory:'));

/** As a daemon opens it. */
export const ledgerIn = (database: Database): Ledger => createLedger(database, schemas, '0.0.0-test');

/** As {@link memoryLedger}, and how often it parsed a row since that was asked last. */
export function countedLedger(): { readonly ledger: Ledger; readonly parsed: () => number } {
  let count = 0;
  const read: typeof schemas.read = (row) => {
    count++;
    return schemas.read(row);
  };
  const parsed = (): number => {
    const before = count;
    count = 0;
    return before;
  };
  return { ledger: createLedger(new Database(':memory:'), { ...schemas, read }, '0.0.0-test'), parsed };
}

/**
 * By which version of its kind's schema a row of the ledger was written, and by which program: see `steps/row.ts`. What
 * is there was written by the first of each.
 */
export const ledgerVersions = `
ALTER TABLE ledger ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE ledger ADD COLUMN program TEXT NOT NULL DEFAULT '';
`;

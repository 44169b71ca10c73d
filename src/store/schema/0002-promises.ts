/**
 * What each microVM that is not gone was promised, as columns: its sum is asked
 * for in every create. Rows of older records are filled in when the store opens.
 */
export const promises = `
CREATE TABLE promises (
  uid TEXT PRIMARY KEY REFERENCES vms (uid) ON DELETE CASCADE,
  will_run INTEGER NOT NULL,
  vcpu INTEGER NOT NULL,
  memory_in_mb INTEGER NOT NULL,
  disk_in_mb INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`;

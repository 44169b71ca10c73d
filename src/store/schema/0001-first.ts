/** Records are JSON: what is asked for by SQL has columns of its own beside it. */
export const first = `
CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;

CREATE TABLE vms (
  uid TEXT PRIMARY KEY,
  namespace TEXT NOT NULL,
  id TEXT NOT NULL,
  version INTEGER NOT NULL,
  gone_at INTEGER,
  record TEXT NOT NULL
) STRICT;
CREATE INDEX vms_by_name ON vms (namespace, id);

CREATE TABLE labels (
  uid TEXT NOT NULL REFERENCES vms (uid) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (uid, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX labels_by_value ON labels (key, value, uid);

-- What only one microVM may have at a time: a MAC address, an IPv4 address, a VMM's user.
CREATE TABLE allocations (
  kind TEXT NOT NULL,
  value TEXT NOT NULL,
  uid TEXT NOT NULL,
  PRIMARY KEY (kind, value)
) STRICT, WITHOUT ROWID;
CREATE INDEX allocations_by_uid ON allocations (uid);

-- Everything that we make on the host: see ports/ledger.ts. No foreign key: it may outlive a record, never the reverse.
CREATE TABLE ledger (
  entry INTEGER PRIMARY KEY AUTOINCREMENT,
  owner TEXT NOT NULL,
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  intent TEXT NOT NULL,
  made INTEGER NOT NULL DEFAULT 0,
  result TEXT NOT NULL DEFAULT 'null',
  UNIQUE (owner, kind, key)
) STRICT;
CREATE INDEX ledger_by_kind ON ledger (kind);

CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  type TEXT NOT NULL,
  record TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT;
CREATE INDEX events_by_time ON events (at);
`;

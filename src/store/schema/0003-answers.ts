/** What was answered to a mutation with an idempotency key, by the key. */
export const answers = `
CREATE TABLE answers (
  key TEXT PRIMARY KEY,
  digest TEXT NOT NULL,
  record TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX answers_by_time ON answers (at);

-- A microVM keeps its labels when it is gone, so that a selector finds it among the deleted ones.
INSERT OR IGNORE INTO labels (uid, key, value)
  SELECT vms.uid, label.key, label.value
  FROM vms, json_each(CASE WHEN json_valid(vms.record) THEN vms.record ELSE '{}' END, '$.spec.labels') AS label
  WHERE vms.gone_at IS NOT NULL;
`;

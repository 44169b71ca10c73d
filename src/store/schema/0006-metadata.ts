/** A record's own text, or that of one with nothing in it: what cannot be read is left as it is. */
const RECORD = `CASE WHEN json_valid(record) THEN record ELSE '{}' END`;
const HELD = `${RECORD} -> '$.spec.metadata'`;
/** Counted from 1 with the first write of a spec. */
const GENERATION = `coalesce(${RECORD} ->> '$.generation', 1)`;
const HAS_SOME = `json_type(${RECORD}, '$.spec.metadata') = 'object' AND ${HELD} <> '{}'`;

/** The values go, the name of their row comes. */
const named = (table: string): string => `
UPDATE ${table} SET record = json_set(json_remove(record, '$.spec.metadata'), '$.spec.metadataRef', json_object(
  'generation', ${GENERATION},
  'bytes', (SELECT sum(octet_length(key) + octet_length(value)) FROM json_each(record, '$.spec.metadata'))
)) WHERE ${HAS_SOME};
UPDATE ${table} SET record = json_remove(record, '$.spec.metadata') WHERE ${HELD} = '{}';
`;

/**
 * Metadata beside the records, each written once: a record, an event and an
 * answer name theirs by the uid and `$.spec.metadataRef.generation`. Until now
 * each of them held its own, as of its generation.
 */
export const metadata = `
CREATE TABLE metadata (
  uid TEXT NOT NULL,
  -- Of the spec, whose write brought it.
  generation INTEGER NOT NULL,
  -- The newest event that names it, once its record names another or is gone; until then NULL.
  last_seq INTEGER,
  content TEXT NOT NULL,
  PRIMARY KEY (uid, generation)
) STRICT;
CREATE INDEX metadata_past ON metadata (last_seq) WHERE last_seq IS NOT NULL;

ALTER TABLE answers ADD COLUMN uid TEXT;
UPDATE answers SET uid = ${RECORD} ->> '$.uid';
CREATE INDEX answers_by_uid ON answers (uid);

CREATE TEMP TABLE told AS
  SELECT ${RECORD} ->> '$.uid' AS uid, ${GENERATION} AS generation, max(seq) AS seq FROM events WHERE ${HAS_SOME} GROUP BY 1, 2;
INSERT INTO metadata (uid, generation, last_seq, content)
  SELECT told.uid, told.generation, seq, record -> '$.spec.metadata' FROM told JOIN events USING (seq);
DROP TABLE told;
INSERT INTO metadata (uid, generation, last_seq, content)
  SELECT uid, ${GENERATION}, iif(gone_at IS NULL, NULL, 0), ${HELD} FROM vms WHERE ${HAS_SOME}
  ON CONFLICT DO UPDATE SET last_seq = iif(excluded.last_seq IS NULL, NULL, last_seq);
INSERT INTO metadata (uid, generation, last_seq, content)
  SELECT uid, ${GENERATION}, 0, ${HELD} FROM answers WHERE ${HAS_SOME}
  ON CONFLICT DO NOTHING;
${['vms', 'events', 'answers'].map(named).join('')}`;

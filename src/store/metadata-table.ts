import { Fault } from '../domain/fault.ts';
import type { MicroVm, Uid } from '../domain/microvm.ts';
import type { Metadata } from '../domain/spec.ts';
import type { Log } from '../ports/log.ts';
import type { Database } from './database.ts';

/**
 * Metadata beside the records, each written once. What past events and answers
 * name is kept as long as they are.
 */
export function createMetadata(db: Database, log: Log) {
  const insert = db.sql.prepare('INSERT INTO metadata (uid, generation, content) VALUES (?, ?, ?)');
  const select = db.sql.prepare('SELECT content FROM metadata WHERE uid = ? AND generation = ?');
  const setPast = db.sql.prepare('UPDATE metadata SET last_seq = ? WHERE uid = ? AND generation = ?');
  const forget = db.sql.prepare(
    `DELETE FROM metadata WHERE last_seq < ?
       AND NOT EXISTS (SELECT 1 FROM answers WHERE answers.uid = metadata.uid)
       AND NOT EXISTS (SELECT 1 FROM vms WHERE vms.uid = metadata.uid
         AND CASE WHEN json_valid(record) THEN record ->> '$.spec.metadataRef.generation' END = generation)`,
  );
  return {
    /** @throws Fault `tool` */
    of({ uid, spec }: Pick<MicroVm, 'uid' | 'spec'>): Metadata {
      if (!spec.metadataRef) return {};
      try {
        const row = select.get(uid, spec.metadataRef.generation);
        if (!row) throw new TypeError('it is not there');
        const content: unknown = JSON.parse(String(row.content));
        if (!isMetadata(content)) throw new TypeError('it is no metadata');
        return content;
      } catch (error) {
        log.error('stored metadata cannot be read', { uid, ...spec.metadataRef, error });
        throw new Fault('tool', `Cannot read the metadata of microVM ${uid} in the database`, { cause: error });
      }
    },
    keep({ uid, spec }: Pick<MicroVm, 'uid' | 'spec'>, metadata: Metadata): void {
      if (spec.metadataRef) insert.run(uid, spec.metadataRef.generation, JSON.stringify(metadata));
    },
    /** No record names it from now on. @param seq - the newest event that does */
    past(uid: Uid, { metadataRef }: MicroVm['spec'], seq: number): void {
      if (metadataRef) setPast.run(seq, uid, metadataRef.generation);
    },
    /** @param oldest - the first event that is kept */
    purge: (oldest: number): void => void forget.run(oldest),
  };
}

const isMetadata = (content: unknown): content is Metadata =>
  typeof content === 'object' && content !== null && Object.values(content).every((one) => typeof one === 'string');

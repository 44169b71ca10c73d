import { type Promised, promisedTo, willRun } from '../domain/admission.ts';
import type { MicroVm, Uid } from '../domain/microvm.ts';
import type { Database } from './database.ts';

/** What microVMs are promised, kept beside their records in the same transactions. */
export function createPromises(db: Database) {
  const write = db.sql.prepare(
    `INSERT INTO promises (uid, will_run, vcpu, memory_in_mb, disk_in_mb) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (uid) DO UPDATE SET will_run = excluded.will_run, vcpu = excluded.vcpu,
       memory_in_mb = excluded.memory_in_mb, disk_in_mb = excluded.disk_in_mb`,
  );
  const remove = db.sql.prepare('DELETE FROM promises WHERE uid = ?');
  // The ledger names a VMM until its end is proved.
  const sum = db.sql.prepare(
    `SELECT count(*) AS microvms, coalesce(sum(disk_in_mb), 0) AS disk,
       coalesce(sum(CASE WHEN held THEN vcpu END), 0) AS vcpu,
       coalesce(sum(CASE WHEN held THEN memory_in_mb END), 0) AS memory
     FROM (SELECT *, will_run OR EXISTS (SELECT 1 FROM ledger WHERE owner = uid AND kind = 'vmm') AS held
       FROM promises)`,
  );
  return {
    /** @param before - the record that it was; absent: nothing is kept of it yet */
    keep(vm: MicroVm, before?: MicroVm): void {
      const row = rowOf(vm);
      const old = before && rowOf(before);
      if (!old || row.some((value, i) => value !== old[i])) write.run(vm.uid, ...row);
    },
    drop: (uid: Uid): void => void remove.run(uid),
    all(): Promised {
      const row = sum.get() ?? {};
      const { microvms, vcpu, memory, disk } = row;
      return {
        microvms: Number(microvms),
        vcpu: Number(vcpu),
        memoryInMb: Number(memory),
        diskInMb: Number(disk),
      };
    },
    /** Records that an earlier version wrote, and has no row of. */
    missing: db.sql.prepare('SELECT record FROM vms WHERE gone_at IS NULL AND uid NOT IN (SELECT uid FROM promises)'),
  };
}

function rowOf({ spec, made, state }: MicroVm): readonly number[] {
  const { vcpu, memoryInMb, diskInMb } = promisedTo(spec, made);
  return [willRun(state) ? 1 : 0, vcpu, memoryInMb, diskInMb];
}

import { Fault, type Violation } from '../domain/fault.ts';
import type { MicroVm, Uid } from '../domain/microvm.ts';
import { tapStem } from '../domain/names.ts';
import { publishedKey, publishedText } from '../domain/published.ts';
import { parseStatic } from '../domain/static-address.ts';
import type { AllocationKind } from '../ports/store.ts';
import type { Database } from './database.ts';

/** A value of a spec that only one microVM may have, and another one has. */
interface TakenValue {
  readonly field: string;
  readonly kind: string;
  readonly value: string;
  readonly remedy?: string;
}

/**
 * What only one microVM may have at a time, kept beside the records in the same transactions.
 * @param read - the record of a row; undefined where it cannot be read
 */
export function createAllocations(db: Database, read: (row: Record<string, unknown>) => MicroVm | undefined) {
  const allocate = db.sql.prepare('INSERT INTO allocations (kind, value, uid) VALUES (?, ?, ?) ON CONFLICT DO NOTHING');
  const free = db.sql.prepare('DELETE FROM allocations WHERE uid = ?');
  const giveBack = db.sql.prepare('DELETE FROM allocations WHERE kind = ? AND value = ? AND uid = ?');
  const one = db.sql.prepare('SELECT 1 FROM allocations WHERE kind = ? AND value = ?');
  const holderOf = db.sql.prepare(
    'SELECT record FROM allocations JOIN vms USING (uid) WHERE kind = ? AND value = ? AND gone_at IS NULL',
  );
  const portsLike = db.sql.prepare("SELECT value, uid FROM allocations WHERE kind = 'port' AND value GLOB ?");
  const readVm = db.sql.prepare('SELECT record FROM vms WHERE uid = ?');

  const unnamed = db.sql.prepare(
    "SELECT uid FROM vms WHERE gone_at IS NULL AND uid NOT IN (SELECT uid FROM allocations WHERE kind = 'tap-stem')",
  );

  const take = (kind: string, value: string, uid: Uid): boolean => allocate.run(kind, value, uid).changes === 1;
  const holder = (kind: string, value: string): MicroVm | undefined => {
    const row = holderOf.get(kind, value);
    return row && read(row);
  };

  /** That a value which only one may have is another's. */
  const taken = ({ field, kind, value, remedy = '' }: TakenValue, knows: string | undefined): Fault => {
    const other = holder(kind, value);
    const who = holderName(other, knows);
    if (other?.state.is !== 'DELETING')
      return Fault.invalid([{ field, description: `${value} is taken by ${who}${remedy}` }]);
    return new Fault(
      'full',
      `Cannot create the microVM yet: ${field} ${value} is that of ${who}, which is being deleted: try again when that is gone`,
    );
  };

  /** @throws Fault `invalid` with every port that another microVM has */
  const takePorts = (vm: MicroVm, knows: string | undefined): void => {
    const wrong: Violation[] = [];
    vm.spec.interfaces.forEach(({ publishedPorts }, i) => {
      publishedPorts.forEach((port, k) => {
        const other = portsLike
          .all(`${publishedKey({ ...port, hostIp: '' })}*`)
          .find(
            (row) =>
              port.hostIp === '' ||
              [publishedKey({ ...port, hostIp: '' }), publishedKey(port)].includes(String(row.value)),
          );
        if (!other) take('port', publishedKey(port), vm.uid);
        else if (other.uid !== vm.uid) {
          const row = readVm.get(String(other.uid));
          const who = holderName(row && read(row), knows);
          wrong.push({
            field: `interfaces[${i}].published_ports[${k}].host_port`,
            description: `${publishedText(port)} is published by ${who} already: give another`,
          });
        }
      });
    });
    if (wrong.length > 0) throw Fault.invalid(wrong);
  };

  return {
    /**
     * All that a new microVM has for itself.
     * @param knows - the one namespace that is told of; absent: all
     * @throws Fault as `Store.create`
     */
    take(vm: MicroVm, knows: string | undefined): void {
      if (!take('tap-stem', tapStem(vm.uid), vm.uid))
        throw new Fault(
          'conflict',
          `Cannot create microVM ${vm.spec.namespace}/${vm.spec.id}: another one has taken the names of its interfaces meanwhile; try again`,
        );
      const { interfaces, vmmUser, metadataPort } = vm.allocation;
      vm.spec.interfaces.forEach(({ name, type, address }, i) => {
        const nic = interfaces[name];
        if (!nic) return;
        const mustTake = (what: TakenValue): void => {
          if (!take(what.kind, what.value, vm.uid)) throw taken(what, knows);
        };
        const remedy = '; leave it out to have one made';
        mustTake({ field: `interfaces[${i}].guest_mac`, kind: 'mac', value: nic.mac, remedy });
        const field = `interfaces[${i}].address`;
        if (nic.address !== undefined) mustTake({ field, kind: 'address', value: nic.address });
        // On the network of a parent the addresses are not ours to give, but ours must not meet there.
        const fixed = type === 'MACVTAP' && address !== undefined ? parseStatic(address) : undefined;
        if (fixed && 'address' in fixed) mustTake({ field, kind: 'parent-address', value: fixed.address });
        if (nic.hostname !== undefined && !take('hostname', nic.hostname, vm.uid))
          throw new Error(`the name ${nic.hostname} is taken`);
      });
      takePorts(vm, knows);
      if (!take('vmm-user', String(vmmUser), vm.uid)) throw new Error(`VMM user ${vmmUser} is taken`);
      if (metadataPort !== undefined && !take('metadata-port', String(metadataPort), vm.uid))
        throw new Error(`port ${metadataPort} of the metadata service is taken`);
    },

    /** Records that an earlier version wrote hold the names of their interfaces, too. */
    complete(): void {
      for (const { uid } of unnamed.all()) take('tap-stem', tapStem(String(uid) as Uid), String(uid) as Uid);
    },

    /** Gives one value back and takes another. */
    move(kind: AllocationKind, from: string, to: string, uid: Uid): void {
      giveBack.run(kind, from, uid);
      if (!take(kind, to, uid)) throw new Error(`${kind} ${to} is taken`);
    },

    free: (uid: Uid): void => void free.run(uid),
    has: (kind: AllocationKind, value: string): boolean => one.get(kind, value) !== undefined,
    holder,
  };
}

/** @param knows - the one namespace that is told of; absent: all */
function holderName(vm: MicroVm | undefined, knows: string | undefined): string {
  if (!vm) return 'another microVM';
  const { namespace, id } = vm.spec;
  if (knows !== undefined && knows !== namespace) return 'a microVM of another namespace';
  return `microVM ${namespace}/${id} (${vm.uid})`;
}

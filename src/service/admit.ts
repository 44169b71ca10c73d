import { admission, promisedTo, withDisksAsMemory } from '../domain/admission.ts';
import { Fault } from '../domain/fault.ts';
import { guestName } from '../domain/guest-name.ts';
import { formatCidr, nextAddress, probeAddressOf } from '../domain/ipv4.ts';
import { makeMac } from '../domain/mac.ts';
import { metadataBy } from '../domain/metadata-rules.ts';
import type { AllocatedInterface, MicroVm, Uid } from '../domain/microvm.ts';
import { METADATA_PORTS, type NumberRange, nextNumber, type Taken } from '../domain/next-number.ts';
import { FIRST_GENERATION, type InterfaceSpec, type Spec } from '../domain/spec.ts';
import { parseStatic } from '../domain/static-address.ts';
import { isIn, type OthersUsers, overlap, sharersOf } from '../domain/user-ranges.ts';
import type { AllocationKind } from '../ports/store.ts';
import type { Checked } from './check-spec.ts';
import type { Needs, NeedsOf } from './needs.ts';
import type { CreateOptions } from './services.ts';

/** To give a microVM what is its own, and to store it. */
export type AdmitNeeds = NeedsOf<'store', 'create' | 'promised' | 'isAllocated' | 'recall' | 'remember'> &
  Needs<'clock' | 'network' | 'vmmUsers' | 'ownNames'>;

const LAST_ADDRESS = 'last-address';

/** Within a transaction: takes what the microVM needs for itself, and stores it. */
export function admit(
  needs: AdmitNeeds,
  uid: Uid,
  { spec, provider, metadata, limits, diskIsMemory, others: othersUsers }: Checked,
  { uniqueId, knows = '', request }: CreateOptions & { readonly request: string },
): MicroVm {
  const others = withDisksAsMemory(needs.store.promised(), diskIsMemory);
  const now = needs.clock.now();
  const vm: MicroVm = {
    uid,
    version: 1,
    generation: FIRST_GENERATION,
    request,
    spec,
    allocation: {
      provider,
      vmmUser: takeUser(needs, othersUsers),
      interfaces: takeInterfaces(needs, spec, uid),
      ...(metadataBy(spec).service && { metadataPort: takeMetadataPort(needs) }),
    },
    state: { is: 'PENDING', reason: 'Preparing', message: 'Accepted; being prepared' },
    made: { volumes: {}, interfaces: {} },
    conditions: [],
    addresses: {},
    retry: 0,
    createdAt: now,
    updatedAt: now,
  };
  needs.store.create({ vm, metadata, uniqueId, ...(knows !== '' && { knows }) });
  // In the transaction that makes the promise: creates at the same time cannot overshoot. One that exists is told so first.
  const asked = withDisksAsMemory({ microvms: 1, ...promisedTo(spec) }, diskIsMemory);
  const refused = admission(`microVM ${spec.namespace}/${spec.id}`, asked, others, limits);
  if (refused) throw refused;
  return vm;
}

/** What is taken by others, or within this create. */
interface Takings extends Taken {
  add(value: string): void;
}

/** Looked up one by one: to read all of it would cost more with each microVM that there is. */
function takenOf(store: AdmitNeeds['store'], kind: AllocationKind, more: readonly string[] = []): Takings {
  const own = new Set(more);
  return { has: (value) => own.has(value) || store.isAllocated(kind, value), add: (value) => void own.add(value) };
}

/** Whoever else has it could end the VMM and read its memory. */
function takeUser({ store, vmmUsers }: AdmitNeeds, others: readonly OthersUsers[]): number {
  const near = others.filter((other) => overlap(vmmUsers, other));
  const user = takeNext(store, 'vmm-user', vmmUsers, (one) => isIn(one, near));
  if (user !== undefined) return user;
  const sharers = sharersOf(vmmUsers, near);
  const why = sharers.length > 0 ? `runs a VMM or is somebody else's (${sharers.join(', ')})` : 'runs a VMM';
  throw new Fault(
    'full',
    `Every user of the range ${vmmUsers.first}-${vmmUsers.last} ${why}: delete microVMs, or give another --vmm-uid-range`,
  );
}

function takeNext(
  store: AdmitNeeds['store'],
  kind: 'vmm-user' | 'metadata-port',
  range: NumberRange,
  isOthers?: (number: number) => boolean,
): number | undefined {
  const before = store.recall(`last-${kind}`);
  const taken = takenOf(store, kind);
  const has = (value: string): boolean => isOthers?.(Number(value)) === true || taken.has(value);
  const number = nextNumber(range, { has }, before === undefined ? undefined : Number(before));
  if (number !== undefined) store.remember(`last-${kind}`, String(number));
  return number;
}

function takeMetadataPort({ store }: AdmitNeeds): number {
  const port = takeNext(store, 'metadata-port', METADATA_PORTS);
  if (port !== undefined) return port;
  const { first, last } = METADATA_PORTS;
  throw new Fault(
    'full',
    `Every port from ${first} to ${last} serves a microVM's metadata: delete microVMs, or leave allow_metadata_req out`,
  );
}

function takeInterfaces(needs: AdmitNeeds, spec: Spec, uid: Uid): Readonly<Record<string, AllocatedInterface>> {
  const { store, clock } = needs;
  const macs = takenOf(store, 'mac');
  const hostnames = takenOf(store, 'hostname');
  const given: Record<string, AllocatedInterface> = {};
  // None is given by turns to one interface that the spec gives to another.
  const fixed = new Map(spec.interfaces.map((nic) => [nic.name, fixedAddress(nic)]));
  const probe = needs.network && probeAddressOf(needs.network);
  const own = [...fixed.values(), probe].filter((one) => one !== undefined);
  const taken = takenOf(store, 'address', own);
  for (const nic of spec.interfaces) {
    let { mac } = nic;
    while (mac === undefined || (nic.mac === undefined && macs.has(mac))) mac = makeMac(clock.random);
    macs.add(mac);
    const network = nic.type === 'TAP' && nic.bridge === undefined ? needs.network : undefined;
    if (!network) {
      given[nic.name] = { mac };
      continue;
    }
    const asked = fixed.get(nic.name);
    const address = asked ?? nextAddress(network, taken, store.recall(LAST_ADDRESS));
    if (address === undefined)
      throw new Fault(
        'full',
        `Every address of ${formatCidr(network)} is taken: delete microVMs, or use a wider --managed-network`,
        {
          reason: 'NetworkFailed',
        },
      );
    if (asked === undefined) store.remember(LAST_ADDRESS, address);
    taken.add(address);
    const hostname = guestName(spec, uid, nic.name, hostnames, needs.ownNames);
    hostnames.add(hostname);
    given[nic.name] = { mac, address, hostname };
  }
  return given;
}

/** On the managed network: elsewhere it is not ours to give. */
function fixedAddress({ type, address, bridge }: InterfaceSpec): string | undefined {
  const fixed = address === undefined || bridge !== undefined || type !== 'TAP' ? undefined : parseStatic(address);
  return fixed && 'address' in fixed ? fixed.address : undefined;
}

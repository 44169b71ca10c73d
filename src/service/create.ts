import { allDone } from '../base/all-done.ts';
import {
  admission,
  type Capacity,
  inodeAdmission,
  limitsOf,
  promisedTo,
  withDisksAsMemory,
} from '../domain/admission.ts';
import { chooseProvider, mayGoTo, type ProviderChoice } from '../domain/choose-provider.ts';
import { cordoned } from '../domain/cordon.ts';
import type { SpecDraft } from '../domain/draft.ts';
import { Fault, type Violation } from '../domain/fault.ts';
import { guestName } from '../domain/guest-name.ts';
import { formatCidr, nextAddress, probeAddressOf } from '../domain/ipv4.ts';
import { makeMac } from '../domain/mac.ts';
import { metadataBy } from '../domain/metadata.ts';
import type { AllocatedInterface, MicroVm, MicroVmView, Uid } from '../domain/microvm.ts';
import { METADATA_PORTS, type NumberRange, nextNumber, type Taken } from '../domain/next-number.ts';
import { FIRST_GENERATION, type InterfaceSpec, type Metadata, type Spec } from '../domain/spec.ts';
import { parseStatic } from '../domain/static-address.ts';
import { isIn, type OthersUsers, overlap, sharersOf } from '../domain/user-ranges.ts';
import { validate } from '../domain/validate.ts';
import type { AllocationKind } from '../ports/store.ts';
import type { ToolNeed } from '../ports/tools.ts';
import { checkNetwork, type NetworkNeeds } from './check-network.ts';
import { cordonOf } from './cordon.ts';
import type { Needs, NeedsOf } from './needs.ts';
import { Once, type OnceNeeds } from './once.ts';
import { type BootNeeds, likelyWords, planBoot } from './plan-boot.ts';
import { checkPulls, type ImageField, planImages, type WayNeeds } from './plan-images.ts';
import { repeated, requestDigest } from './repeated.ts';
import type { CreateOptions, PlannedVm } from './services.ts';
import { unusedUid } from './unused-uid.ts';
import { type ViewNeeds, view, withMetadata } from './view.ts';

/** To judge a spec by what the host has, and can do. */
type CheckNeeds = NetworkNeeds &
  WayNeeds &
  NeedsOf<'images', 'check'> &
  NeedsOf<'store', 'recall'> &
  NeedsOf<'tools', 'obstacle'> &
  Needs<'vmms' | 'defaultVmms' | 'capacity' | 'limits' | 'pullPolicy' | 'othersUsers'>;
/** To give a microVM what is its own, and to store it. */
type AdmitNeeds = NeedsOf<'store', 'create' | 'promised' | 'isAllocated' | 'recall' | 'remember'> &
  Needs<'clock' | 'network' | 'vmmUsers' | 'ownNames'>;
type EachNeeds = CheckNeeds &
  AdmitNeeds &
  OnceNeeds &
  NeedsOf<'store', 'metadataOf'> &
  Needs<'transactions' | 'newUid'>;
type CreateNeeds = EachNeeds & ViewNeeds & NeedsOf<'store', 'holder' | 'get'> & Needs<'wake' | 'intend'>;
type PlanNeeds = EachNeeds & BootNeeds & Needs<'plan'>;

const LAST_ADDRESS = 'last-address';

/** Accepts a spec: checked, made unique, stored; all else follows when the answer is out. */
export async function create(needs: CreateNeeds, draft: SpecDraft, options: CreateOptions): Promise<MicroVmView> {
  const once = Once.of(needs, draft, options);
  const asStored = (vm: MicroVm): MicroVmView => withMetadata(vm, needs.store.metadataOf(vm));
  const before = once?.answer();
  if (before) return asStored(before);
  // Only where one name may be that of several: elsewhere the name says that it is there.
  const again = options.uniqueId ? undefined : repeated(needs, draft);
  if (again) return view(again, needs);
  const uid = unusedUid(needs);
  let checked: Checked;
  try {
    checked = await check(needs, draft, uid);
  } catch (error) {
    // The same request may have been accepted meanwhile, and what it took be in the way of this one.
    const answered = once?.answer();
    if (answered) return asStored(answered);
    throw error;
  }
  const { vm, isNew } = await needs.transactions.together(() => {
    // The same request may have been accepted beside this one.
    const answered = once?.answer() ?? (options.uniqueId ? undefined : repeated(needs, draft));
    if (answered) return { vm: answered, isNew: false };
    const made = admit(needs, uid, checked, { ...options, request: requestDigest(needs, draft) });
    once?.keep(made);
    needs.intend(made);
    return { vm: made, isNew: true };
  });
  if (isNew) needs.wake.wake(uid);
  return asStored(vm); // without what goes on already: so a later answer is the same
}

/** Throws away what a transaction did, and keeps what it would have stored. */
class Rehearsed extends Error {
  readonly vm: MicroVm;
  constructor(vm: MicroVm) {
    super('a rehearsal ends');
    this.vm = vm;
  }
}

/** As `create`, up to the commit: that one is rolled back. */
export async function planCreate(needs: PlanNeeds, draft: SpecDraft, options: CreateOptions): Promise<PlannedVm> {
  const answered = Once.of(needs, draft, options)?.answer();
  if (answered)
    return {
      vm: withMetadata(answered, needs.store.metadataOf(answered)),
      plan: ['nothing: this idempotency key has its answer already'],
    };
  const uid = unusedUid(needs);
  const checked = await check(needs, draft, uid);
  const images = await planImages(needs, checked.spec);
  const boot = await planBoot(needs, checked.spec, checked.provider);
  try {
    return needs.transactions.transact(() => {
      throw new Rehearsed(admit(needs, uid, checked, { ...options, request: requestDigest(needs, draft) }));
    });
  } catch (error) {
    if (!(error instanceof Rehearsed)) throw error;
    const { vm } = error;
    const plan = [...needs.plan(vm), ...images, ...boot];
    const planned = { ...vm, uid: '' as Uid, version: 0, spec: { ...vm.spec, id: draft.id } };
    return { vm: withMetadata(planned, draft.metadata), plan };
  }
}

/** A spec that the host could run, and what may be promised on it. */
interface Checked {
  readonly spec: Spec;
  readonly metadata: Metadata;
  readonly provider: string;
  readonly limits: ReturnType<typeof limitsOf>;
  readonly diskIsMemory: boolean;
  readonly others: readonly OthersUsers[];
}

async function check(needs: CheckNeeds, draft: SpecDraft, uid: Uid): Promise<Checked> {
  const valid = withMetadataAnyhow(validate(draft, uid.toLowerCase()), needs);
  // Stored as it is in force: another daemon's default must not change it.
  const spec: Spec = { ...valid, pullPolicy: valid.pullPolicy ?? needs.pullPolicy };
  const cordon = cordonOf(needs.store);
  if (cordon) throw cordoned(`microVM ${spec.namespace}/${spec.id}`, cordon);
  const [{ provider, host }, others] = await allDone([checkAgainstHost(needs, spec, draft), needs.othersUsers()]);
  const { capacity, diskIsMemory, freeInodes = Number.POSITIVE_INFINITY } = host;
  const full = inodeAdmission(`microVM ${spec.namespace}/${spec.id}`, freeInodes);
  if (full) throw full;
  return { spec, provider, metadata: draft.metadata, limits: limitsOf(needs.limits, capacity), diskIsMemory, others };
}

/** Within a transaction: takes what the microVM needs for itself, and stores it. */
function admit(
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

/** Where the caller cannot say who may ask for metadata, every interface may that the service reaches. */
function withMetadataAnyhow(spec: Spec, { network }: CheckNeeds): Spec {
  if (spec.metadataAnyhow !== true || spec.metadataRef === undefined || !network) return spec;
  const interfaces = spec.interfaces.map((nic) => ({
    ...nic,
    allowMetadata: nic.type === 'TAP' && nic.bridge === undefined,
  }));
  return { ...spec, interfaces };
}

/**
 * What needs no pull is refused now: all at once, before anything is stored.
 * @returns the provider that it goes to, and what the host has
 */
async function checkAgainstHost(
  needs: CheckNeeds,
  spec: Spec,
  draft: SpecDraft,
): Promise<{ readonly provider: string; readonly host: Capacity }> {
  const [choice, obstacle, host, unfit, wrongNetwork] = await allDone([
    choose(needs, spec),
    needs.tools.obstacle(toolNeeds(needs, spec)),
    needs.capacity(),
    unfitImages(needs, spec, draft),
    checkNetwork(needs, spec),
  ]);
  if (choice.is === 'unavailable')
    throw new Fault('refused', `Cannot run microVMs with ${choice.provider}: ${choice.why}`, {
      reason: 'ProviderUnavailable',
    });
  const wrong: Violation[] = choice.is === 'refused' ? [...choice.violations] : [];
  if (obstacle !== undefined)
    throw new Fault('refused', `Cannot make microVMs on this host: ${obstacle}`, { reason: 'ProviderUnavailable' });
  const { capacity, notes } = host;
  // No other microVM's end can mend that: it is the request that is wrong. What they leave of it: admission.
  if (spec.memoryInMb > capacity.memoryInMb)
    wrong.push({
      field: 'memory_in_mb',
      description: `${spec.memoryInMb} MiB is more than this host has: at most ${capacity.memoryInMb}${notes.length === 0 ? '' : ` (${notes.join('; ')})`}`,
    });
  wrong.push(...unfit, ...wrongNetwork);
  if (wrong.length > 0) throw Fault.invalid(wrong);
  await checkPulls(needs, spec, references(spec, draft));
  return { provider: choice.provider ?? '', host };
}

async function unfitImages({ images }: CheckNeeds, spec: Spec, draft: SpecDraft): Promise<readonly Violation[]> {
  const wrong = references(spec, draft).map(async ([field, reference]) => {
    const description = await images.check(reference);
    return description === undefined ? [] : [{ field, description }];
  });
  return (await allDone(wrong)).flat();
}

async function choose(needs: CheckNeeds, spec: Spec): Promise<ProviderChoice> {
  const words = likelyWords(needs, spec);
  const byDefault = needs.defaultVmms.map(({ name }) => name);
  const names = mayGoTo(spec.provider, byDefault);
  const possible = names.flatMap((name) => needs.vmms.find((vmm) => vmm.name === name) ?? []);
  const candidates = possible.map(async (vmm) => {
    const { available, unavailableReason } = await vmm.info();
    return { name: vmm.name, lacks: vmm.check(spec, words), ...(!available && { unavailable: unavailableReason }) };
  });
  const known = needs.vmms.map(({ name }) => name);
  return chooseProvider(spec.provider, known, await Promise.all(candidates));
}

/** What the host must be able to do for this one beside what it must for each. */
function toolNeeds({ network }: CheckNeeds, spec: Spec): ReadonlySet<ToolNeed> {
  const needs = new Set<ToolNeed>();
  if (spec.volumes.length > 0) needs.add('volumes');
  if (spec.volumes.some(({ partitionId }) => partitionId !== undefined)) needs.add('partitions');
  if (metadataBy(spec).disk) needs.add('metadata-disks');
  if (spec.interfaces.length > 0) needs.add('networks');
  if (network && spec.interfaces.some(({ type, bridge }) => type === 'TAP' && bridge === undefined))
    needs.add('managed');
  return needs;
}

/** Volumes by the index that was sent: the spec has the root first. */
function references(spec: Spec, draft: SpecDraft): readonly ImageField[] {
  return [
    ['kernel.image', spec.kernel.image],
    ...(spec.initrd ? [['initrd.image', spec.initrd.image] as const] : []),
    ...draft.volumes.map(({ image = '' }, i) => [`volumes[${i}].source.container_source`, image] as const),
  ];
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

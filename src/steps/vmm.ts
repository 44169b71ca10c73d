import { z } from 'zod';
import { allDone } from '../base/all-done.ts';
import { Fault } from '../domain/fault.ts';
import { wordsForGuest } from '../domain/guest-words.ts';
import { entriesOf } from '../domain/ledger.ts';
import { CIDATA_DISK, metadataBy } from '../domain/metadata-rules.ts';
import { tapName, vmRunDirectory, vmStateDirectory } from '../domain/names.ts';
import { providerOf } from '../domain/provider-of.ts';
import type { CgroupIntent, CgroupLimits } from '../ports/cgroups.ts';
import type { ProcessIdentity } from '../ports/host.ts';
import type { MadeMacvtap } from '../ports/network.ts';
import type { VmmConfig, VmmDisk, VmmNic } from '../ports/vmm.ts';
import { factOf } from './facts.ts';
import { kernelFacts } from './image.ts';
import { nicsOf, parentOf } from './managed.ts';
import { allocatedTo } from './nics.ts';
import { hasOwnInitrd, ownInitrdPath } from './own-initrd.ts';
import { maybe, number, text, texts } from './row.ts';
import type { StepContext, VmStepDef } from './step.ts';

/** As `make` is given it: with all that the first daemons did not write. */
type StoredConfig = VmmConfig & Required<Pick<VmmConfig, 'kernelFacts' | 'guestWords' | 'options' | 'cgroups'>>;

export interface VmmIntent {
  readonly provider: string;
  readonly config: StoredConfig;
  /** That the process is in. */
  readonly cgroups: readonly CgroupIntent[];
}

export interface VmmResult {
  /** Macvtaps as this start found them: those that had vanished were made anew. */
  readonly macvtaps: Readonly<Record<string, { readonly index: number; readonly mac: string }>>;
  readonly process: ProcessIdentity;
  readonly accelerator: 'kvm' | 'tcg';
}

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    vmm: { intent: VmmIntent; result: VmmResult };
  }
}

const config = z.strictObject({
  uid: text,
  runDirectory: text,
  stateDirectory: text,
  user: number,
  vcpu: number,
  memoryInMb: number,
  kernel: text,
  kernelFacts,
  initrd: maybe(text),
  cmdline: text,
  guestWords: texts.default([]),
  options: z.record(text, text).default({}),
  disks: z.array(
    z.strictObject({
      id: text,
      path: text,
      format: z.enum(['raw', 'qcow2']),
      backing: maybe(text),
      readOnly: z.boolean(),
      isRoot: z.boolean(),
      partitionUuid: maybe(text),
    }),
  ),
  nics: z.array(z.strictObject({ device: text, mac: text, mtu: maybe(number), node: maybe(text) })),
  cgroups: texts.default([]),
});

/** The VMM's process, with its cgroups, sockets, console and log. */
export const vmm: VmStepDef<'vmm'> = {
  row: {
    version: 1,
    intent: z.strictObject({
      provider: text,
      config,
      cgroups: z
        .array(z.strictObject({ parent: text, directory: text, set: z.record(text, text), enable: texts }))
        .default([]),
    }),
    result: z.strictObject({
      macvtaps: z.record(text, z.strictObject({ index: number, mac: text })).default({}),
      process: z.strictObject({ pid: number, startTime: text, bootId: text }),
      accelerator: z.enum(['kvm', 'tcg']),
    }),
  },
  timeoutMs: 180_000,
  lane: 'vmm',
  after: 'all',
  onTimeout: 'Timeout',
  // Its mark tells of another boot by the process's identity: see `engine/reconciler.ts`.
  atBoot: 'stays',
  wanted: () => [''],
  says: (_key, { spec, allocation }) =>
    `start ${allocation.provider || spec.provider || "the daemon's default VMM"} with vcpu ${spec.vcpu}, memory ${spec.memoryInMb} MiB`,

  intent: (_key, context) => {
    const provider = context.ports.vmm(providerOf(context.vm));
    const config = configOf(context);
    const cgroups = context.ports.cgroups.of(config.uid, withDisks(provider.needs(config), context));
    return {
      provider: provider.name,
      config: { ...config, cgroups: cgroups.map(({ directory }) => directory) },
      cgroups,
    };
  },

  async make({ provider, config, cgroups }, context) {
    const { vm, ports, signal } = context;
    const { mmds } = metadataBy(vm.spec);
    const [{ found, links }] = await allDone([interfacesOf(config, context), ports.cgroups.make(cgroups, signal)]);
    const renewed: [string, { readonly index: number; readonly mac: string }][] = [];
    const nics: VmmNic[] = [];
    for (const [i, nic] of config.nics.entries()) {
      const link = links[i];
      const tap = entriesOf(context.entries, 'tap').find(({ intent }) => intent.device === nic.device);
      const now = link && tap && (await ports.network.renewTap(tap.intent, link, signal));
      if (tap && now) renewed.push([tap.key, now]);
      const { node } = found.get(nic.device) ?? {};
      const asksMetadata = mmds !== undefined && vm.spec.interfaces[i]?.allowMetadata === true;
      nics.push({
        ...nic,
        ...(node !== undefined && { node }),
        ...(link?.mtu !== undefined && { mtu: link.mtu }),
        ...(asksMetadata && { asksMetadata }),
      });
    }
    const metadata = mmds && { version: mmds, data: ports.toldMetadata.of(vm, nicsOf(ports, vm), mmds) };
    const given = nics.flatMap(({ node }) => node ?? []);
    const running = await ports
      .vmm(provider)
      .start({ ...config, nics, ...(metadata && { metadata }) }, signal, async ({ pid }) => {
        const stray = nics.length > 0 ? await ports.network.strayTap(pid, given) : undefined;
        if (stray !== undefined) throw strayFault(vm.uid, stray);
      });
    ports.guests.attach(vm.uid, running, 'now');
    const macvtaps = [...found.values()].map(({ nic, index, mac }) => [nic, { index, mac }] as const);
    const result = { process: running.process, accelerator: running.accelerator };
    return { ...result, macvtaps: Object.fromEntries([...macvtaps, ...renewed]) };
  },

  async unmake({ provider, config, cgroups }, result, { vm, ports, signal }) {
    ports.guests.detach(vm.uid); // the end that follows is our doing, not news
    await ports.vmm(provider).stop(config, result?.process, signal);
    await ports.cgroups.remove(cgroups, signal);
  },

  show:
    (_key, { provider }, { accelerator, macvtaps }) =>
    (made) => {
      const interfaces = Object.entries(made.interfaces).map(([name, nic]) => {
        const { index = nic.index, mac = nic.hostMac } = macvtaps[name] ?? {};
        return [name, { ...nic, index, hostMac: mac }] as const;
      });
      return { ...made, provider, accelerator, interfaces: Object.fromEntries(interfaces) };
    },

  expect({ intent: { config, cgroups }, result }, to) {
    for (const { directory } of cgroups) to.thing('cgroup', directory);
    to.thing('process', result ? String(result.process.pid) : `of ${config.uid}`);
  },
};

/** Nobody was told that it runs; the next attempt has another tap. */
const strayFault = (uid: string, node: string): Fault =>
  new Fault(
    'tool',
    `The VMM of microVM ${uid} took ${node}, a macvtap of another network namespace, for its tap, whose number is the same: it was ended, and is tried again with a tap of another number`,
    { reason: 'NetworkFailed' },
  );

/** A qcow2 file is that much larger than what it holds: its tables. */
const TABLES = 1 / 64;

/**
 * Where volumes lie in memory, what the guest writes to them counts as its monitor's: without room for it a guest that
 * fills its disk, as it may, would be killed.
 */
function withDisks(
  limits: CgroupLimits,
  { vm, entries, ports }: Pick<StepContext, 'vm' | 'entries' | 'ports'>,
): CgroupLimits {
  if (!ports.volumes.inMemory) return limits;
  const disks = vm.spec.volumes
    .filter(({ isReadOnly }) => !isReadOnly)
    .reduce((sum, { id }) => sum + factOf(entries, 'volume', id).sizeInMb, 0);
  return { ...limits, memoryInMb: limits.memoryInMb + Math.ceil(disks * (1 + TABLES)) };
}

function configOf({
  vm,
  entries,
  ports,
}: Pick<StepContext, 'vm' | 'entries' | 'ports'>): Omit<StoredConfig, 'cgroups'> {
  const { spec } = vm;
  const { names } = ports;
  const { kernel } = factOf(entries, 'image', spec.kernel.image);
  const initrd = spec.initrd && factOf(entries, 'image', spec.initrd.image).initrd;
  if (!kernel) throw new Fault('tool', `No kernel was found for microVM ${vm.uid}`);
  const stateDirectory = vmStateDirectory(names, vm.uid);
  return {
    uid: vm.uid,
    runDirectory: vmRunDirectory(names, vm.uid),
    stateDirectory,
    user: vm.allocation.vmmUser,
    vcpu: spec.vcpu,
    memoryInMb: spec.memoryInMb,
    kernel: kernel.path,
    kernelFacts: kernel.facts,
    ...(initrd && { initrd: hasOwnInitrd(vm, entries) ? ownInitrdPath(stateDirectory) : initrd.path }),
    cmdline: spec.kernel.cmdline,
    guestWords: wordsForGuest(vm, nicsOf(ports, vm)),
    options: spec.providerOptions,
    disks: [
      ...spec.volumes.map(({ id, isReadOnly, isRoot, partitionId }): VmmDisk => {
        const { path, format, backing } = factOf(entries, 'volume', id);
        return {
          ...{ id, path, format, readOnly: isReadOnly, isRoot },
          ...(backing !== undefined && { backing }),
          ...(partitionId !== undefined && { partitionUuid: partitionId }),
        };
      }),
      // Last: it changes the name of no other.
      ...(metadataBy(spec).disk ? [cidataDisk(factOf(entries, 'cidata', '').path)] : []),
    ],
    nics: spec.interfaces.map(({ name }, index) => ({
      device: tapName(names, vm.uid, index),
      mac: allocatedTo(vm, name).mac,
    })),
  };
}

/** As they are at this start: bridges and parents may have come to another MTU since. */
async function interfacesOf({ nics }: VmmConfig, context: StepContext) {
  const { ports, signal } = context;
  const found = await openable(context);
  const links = await allDone(nics.map(({ device }) => ports.network.findInterface(device, signal)));
  return { found, links };
}

interface Openable extends MadeMacvtap {
  /** Its name in the guest. */
  readonly nic: string;
}

/** A macvtap's character device is another one each time the macvtap was made anew, as after its parent was away. By device. */
async function openable({ entries, ports, signal }: StepContext): Promise<ReadonlyMap<string, Openable>> {
  const found = new Map<string, Openable>();
  for (const { key, intent } of entriesOf(entries, 'macvtap')) {
    await parentOf(ports).ensure(signal);
    found.set(intent.device, { nic: key, ...(await ports.network.addMacvtap(intent, signal)) });
  }
  return found;
}

const cidataDisk = (path: string): VmmDisk => ({ id: CIDATA_DISK, path, format: 'raw', readOnly: true, isRoot: false });

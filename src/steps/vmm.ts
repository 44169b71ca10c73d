import { Fault } from '../domain/fault.ts';
import { wordsForGuest } from '../domain/guest-words.ts';
import { CIDATA_DISK, metadataBy } from '../domain/metadata.ts';
import type { MicroVm } from '../domain/microvm.ts';
import { tapName, vmRunDirectory, vmStateDirectory } from '../domain/names.ts';
import type { CgroupIntent, CgroupLimits } from '../ports/cgroups.ts';
import type { MacvtapIntent, MadeMacvtap } from '../ports/network.ts';
import type { VmmConfig, VmmDisk, VmmNic } from '../ports/vmm.ts';
import { factOf, type StepResults } from './facts.ts';
import { nicsOf, parentOf } from './managed.ts';
import type { StepContext, StepDef } from './step.ts';

export interface VmmIntent {
  readonly provider: string;
  readonly config: VmmConfig;
  /** That the process is in. A record of an earlier version has none. */
  readonly cgroups?: readonly CgroupIntent[];
}

/** The VMM's process, with its cgroups, sockets, console and log. */
export const vmm: StepDef<'vmm', VmmIntent, StepResults['vmm']> = {
  timeoutMs: 180_000,
  lane: 'vmm',
  onTimeout: 'Timeout',

  intent: (_step, context) => {
    const provider = context.ports.vmm(context.vm.spec.provider);
    const config = configOf(context);
    const cgroups = context.ports.cgroups.of(config.uid, withDisks(provider.needs(config), context));
    return {
      provider: provider.name,
      config: { ...config, cgroups: cgroups.map(({ directory }) => directory) },
      cgroups,
    };
  },

  async make({ provider, config, cgroups = [] }, context) {
    const { vm, ports, signal } = context;
    const found = await openable(context);
    // As they are at this start: bridges and parents may have come to another MTU since.
    // A host without the tools of the network runs microVMs without interfaces.
    const links = config.nics.length === 0 ? [] : await ports.network.interfaces(signal);
    const mtus = new Map(links.map(({ device, mtu }) => [device, mtu]));
    const nics = config.nics.map((nic): VmmNic => {
      const { node } = found.get(nic.device) ?? {};
      const mtu = mtus.get(nic.device);
      return { ...nic, ...(node !== undefined && { node }), ...(mtu !== undefined && { mtu }) };
    });
    await ports.cgroups.make(cgroups, signal);
    const running = await ports.vmm(provider).start({ ...config, nics }, signal);
    ports.guests.attach(vm.uid, running, 'now');
    const macvtaps = Object.fromEntries([...found.values()].map(({ nic, index, mac }) => [nic, { index, mac }]));
    return { process: running.process, accelerator: running.accelerator, ...(found.size > 0 && { macvtaps }) };
  },

  async unmake({ provider, config, cgroups = [] }, result, { vm, ports, signal }) {
    ports.guests.detach(vm.uid); // the end that follows is our doing, not news
    await ports.vmm(provider).stop(config, result?.process, signal);
    await ports.cgroups.remove(cgroups, signal);
  },

  show:
    (_step, { provider }, { accelerator, macvtaps = {} }) =>
    (made) => {
      const interfaces = Object.entries(made.interfaces).map(([name, nic]) => {
        const { index = nic.index, mac = nic.hostMac } = macvtaps[name] ?? {};
        return [name, { ...nic, index, hostMac: mac }] as const;
      });
      return { ...made, provider, accelerator, interfaces: Object.fromEntries(interfaces) };
    },
};

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

function configOf({ vm, entries, ports }: Pick<StepContext, 'vm' | 'entries' | 'ports'>): VmmConfig {
  const { spec } = vm;
  const { names } = ports;
  const { kernel } = factOf(entries, 'image', spec.kernel.image);
  const initrd = spec.initrd && factOf(entries, 'image', spec.initrd.image).initrd;
  if (!kernel) throw new Fault('tool', `No kernel was found for microVM ${vm.uid}`);
  return {
    uid: vm.uid,
    runDirectory: vmRunDirectory(names, vm.uid),
    stateDirectory: vmStateDirectory(names, vm.uid),
    user: vm.allocation.vmmUser,
    vcpu: spec.vcpu,
    memoryInMb: spec.memoryInMb,
    kernel: kernel.path,
    ...(kernel.facts && { kernelFacts: kernel.facts }),
    ...(initrd && { initrd: initrd.path }),
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
      mac: macOf(vm, name),
    })),
  };
}

interface Openable extends MadeMacvtap {
  /** Its name in the guest. */
  readonly nic: string;
}

/** A macvtap's character device is another one each time the macvtap was made anew, as after its parent was away. By device. */
async function openable({ entries, ports, signal }: StepContext): Promise<ReadonlyMap<string, Openable>> {
  const found = new Map<string, Openable>();
  for (const { kind, key, intent } of entries) {
    if (kind !== 'macvtap') continue;
    const macvtap = intent as unknown as MacvtapIntent;
    await parentOf(ports).ensure(signal);
    found.set(macvtap.device, { nic: key, ...(await ports.network.addMacvtap(macvtap, signal)) });
  }
  return found;
}

const cidataDisk = (path: string): VmmDisk => ({ id: CIDATA_DISK, path, format: 'raw', readOnly: true, isRoot: false });

function macOf(vm: MicroVm, nic: string): string {
  const allocated = vm.allocation.interfaces[nic];
  if (!allocated) throw new Fault('tool', `microVM ${vm.uid} has no MAC address for interface "${nic}"`);
  return allocated.mac;
}

import { Fault } from '../domain/fault.ts';
import { guestWords } from '../domain/guest-words.ts';
import { metadataBy } from '../domain/metadata.ts';
import type { MicroVm } from '../domain/microvm.ts';
import { tapName, vmRunDirectory, vmStateDirectory } from '../domain/names.ts';
import type { MacvtapIntent } from '../ports/network.ts';
import type { VmmConfig, VmmDisk, VmmNic } from '../ports/vmm.ts';
import { factOf, type StepResults } from './facts.ts';
import { nicsOf, parentOf } from './managed.ts';
import type { StepContext, StepDef } from './step.ts';

export interface VmmIntent {
  readonly provider: string;
  readonly config: VmmConfig;
}

/** The VMM's process, with its sockets, console and log. */
export const vmm: StepDef<'vmm', VmmIntent, StepResults['vmm']> = {
  timeoutMs: 60_000,
  lane: 'vmm',
  onTimeout: 'Timeout',

  intent: (_step, context) => ({
    provider: context.ports.vmm(context.vm.spec.provider).name,
    config: configOf(context),
  }),

  async make({ provider, config }, context) {
    const { vm, ports, signal } = context;
    const running = await ports.vmm(provider).start({ ...config, nics: await openable(config, context) }, signal);
    ports.guests.attach(vm.uid, running, 'now');
    return { process: running.process, accelerator: running.accelerator };
  },

  async unmake({ provider, config }, result, { vm, ports, signal }) {
    ports.guests.detach(vm.uid); // the end that follows is our doing, not news
    await ports.vmm(provider).stop(config, result?.process, signal);
  },

  show:
    (_step, { provider }, { accelerator }) =>
    (made) => ({ ...made, provider, accelerator }),
};

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
    ...(initrd && { initrd: initrd.path }),
    cmdline: spec.kernel.cmdline,
    guestWords: guestWords(spec, nicsOf(ports, vm)),
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

/** A macvtap's character device is another one each time the macvtap was made anew, as after a boot of the host. */
function openable({ nics }: VmmConfig, { entries, ports, signal }: StepContext): Promise<VmmConfig['nics']> {
  return Promise.all(
    nics.map(async (nic): Promise<VmmNic> => {
      const entry = entries.find(
        ({ kind, intent }) => kind === 'macvtap' && (intent as unknown as MacvtapIntent).device === nic.device,
      );
      if (!entry) return nic;
      await parentOf(ports).ensure(signal);
      const { node } = await ports.network.addMacvtap(entry.intent as unknown as MacvtapIntent, signal);
      return { ...nic, node };
    }),
  );
}

const cidataDisk = (path: string): VmmDisk => ({ id: 'cidata', path, format: 'raw', readOnly: true, isRoot: false });

function macOf(vm: MicroVm, nic: string): string {
  const allocated = vm.allocation.interfaces[nic];
  if (!allocated) throw new Fault('tool', `microVM ${vm.uid} has no MAC address for interface "${nic}"`);
  return allocated.mac;
}

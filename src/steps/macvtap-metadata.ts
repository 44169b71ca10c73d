import { Fault } from '../domain/fault.ts';
import { macvtapServiceAddress, macvtapServiceName, macvtapTableName, tapName } from '../domain/names.ts';
import type { MacvtapPortIntent } from '../ports/network.ts';
import { parentOf } from './managed.ts';
import type { StepDef } from './step.ts';

/** The microVM's own port of the metadata service, and the way there from its macvtap that may ask. */
export const macvtapMetadata: StepDef<'macvtap-metadata', MacvtapPortIntent, null> = {
  timeoutMs: 180_000,
  lane: 'network',
  onTimeout: 'NetworkFailed',

  intent(_step, { vm, ports: { names } }) {
    const index = vm.spec.interfaces.findIndex(({ type, allowMetadata }) => type === 'MACVTAP' && allowMetadata);
    const allocated = vm.allocation.interfaces[vm.spec.interfaces[index]?.name ?? ''];
    const { metadataPort } = vm.allocation;
    if (!allocated || metadataPort === undefined)
      throw new Fault('tool', `microVM ${vm.uid} has no port for its metadata`);
    return {
      table: macvtapTableName(names),
      device: tapName(names, vm.uid, index),
      service: macvtapServiceName(names),
      mac: allocated.mac,
      address: macvtapServiceAddress(names),
      port: metadataPort,
    };
  },

  async make(intent, { vm, ports, signal }) {
    await parentOf(ports).ensureService(signal);
    await ports.metadata.serve(vm.uid, intent);
    await ports.network.addMacvtapPort(intent, signal);
    return null;
  },

  async unmake(intent, _result, { vm, ports, signal }) {
    await ports.network.removeMacvtapPort(intent, signal);
    await ports.metadata.unserve(vm.uid, intent.address);
  },
};

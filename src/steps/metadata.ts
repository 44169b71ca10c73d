import { Fault } from '../domain/fault.ts';
import { gatewayOf } from '../domain/ipv4.ts';
import { metadataTableName, tapName } from '../domain/names.ts';
import type { MetadataPortIntent } from '../ports/network.ts';
import { cidrOf, managedOf } from './managed.ts';
import type { StepDef } from './step.ts';

/** The microVM's own port of the metadata service, and the way there from the interfaces that may ask. */
export const metadata: StepDef<'metadata', MetadataPortIntent, null> = {
  timeoutMs: 180_000,
  lane: 'network',
  onTimeout: 'NetworkFailed',

  intent(_step, { vm, ports }) {
    const { metadataPort } = vm.allocation;
    if (metadataPort === undefined) throw new Fault('tool', `microVM ${vm.uid} has no port for its metadata`);
    return {
      table: metadataTableName(ports.names),
      devices: vm.spec.interfaces.flatMap(({ type, allowMetadata }, i) =>
        allowMetadata && type === 'TAP' ? [tapName(ports.names, vm.uid, i)] : [],
      ),
      address: gatewayOf(cidrOf(managedOf(ports))),
      port: metadataPort,
    };
  },

  async make(intent, { vm, ports, signal }) {
    await managedOf(ports).ensure(signal);
    await ports.metadata.serve(vm.uid, intent);
    await ports.network.addMetadataPort(intent, signal);
    return null;
  },

  async unmake(intent, _result, { vm, ports, signal }) {
    await ports.network.removeMetadataPort(intent, signal);
    await ports.metadata.unserve(vm.uid, intent.address);
  },
};

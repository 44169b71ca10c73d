import { Fault } from '../domain/fault.ts';
import { tableName } from '../domain/names.ts';
import type { PublishIntent } from '../ports/network.ts';
import { managedOf } from './managed.ts';
import type { StepDef } from './step.ts';

/** The host's ports that lead to one interface: all of them in one transaction. */
export const publish: StepDef<'publish', PublishIntent, null> = {
  timeoutMs: 180_000,
  lane: 'network',
  onTimeout: 'NetworkFailed',

  intent({ nic }, { vm, ports: { names } }) {
    const address = vm.allocation.interfaces[nic]?.address;
    if (address === undefined) throw new Fault('tool', `microVM ${vm.uid} has no address for interface "${nic}"`);
    const ports = vm.spec.interfaces.find(({ name }) => name === nic)?.publishedPorts ?? [];
    return { table: tableName(names), address, ports };
  },

  async make(intent, { ports, signal }) {
    await managedOf(ports).ensure(signal);
    await ports.network.addPorts(intent, signal);
    return null;
  },

  unmake: (intent, _result, { ports, signal }) => ports.network.removePorts(intent, signal),
};

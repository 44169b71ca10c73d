import { Fault } from '../domain/fault.ts';
import { tableName, tapName } from '../domain/names.ts';
import type { GuardIntent } from '../ports/network.ts';
import { managedOf } from './managed.ts';
import type { StepDef } from './step.ts';

/** One interface's guard in the firewall: the guest can take nobody else's MAC or IPv4 address. */
export const guard: StepDef<'guard', GuardIntent, null> = {
  timeoutMs: 60_000,
  lane: 'network',
  onTimeout: 'NetworkFailed',

  intent({ nic }, { vm, ports: { names } }) {
    const allocated = vm.allocation.interfaces[nic];
    if (allocated?.address === undefined)
      throw new Fault('tool', `microVM ${vm.uid} has no address for interface "${nic}"`);
    const index = vm.spec.interfaces.findIndex((i) => i.name === nic);
    return {
      table: tableName(names),
      device: tapName(names, vm.uid, index),
      mac: allocated.mac,
      address: allocated.address,
    };
  },

  async make(intent, { ports, signal }) {
    await managedOf(ports).ensure(signal);
    await ports.network.addGuard(intent, signal);
    return null;
  },

  unmake: (intent, _result, { ports, signal }) => ports.network.removeGuard(intent, signal),
};

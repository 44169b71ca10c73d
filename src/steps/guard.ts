import { Fault } from '../domain/fault.ts';
import { tableName, tapName } from '../domain/names.ts';
import type { GuardIntent } from '../ports/network.ts';
import { networkOf } from './managed.ts';
import type { StepDef } from './step.ts';

/** One interface's guard in the firewall: the guest can take nobody else's MAC, and on the managed network nobody else's IPv4 address. */
export const guard: StepDef<'guard', GuardIntent, null> = {
  timeoutMs: 180_000,
  lane: 'network',
  onTimeout: 'NetworkFailed',

  intent({ nic }, { vm, ports: { names } }) {
    const allocated = vm.allocation.interfaces[nic];
    if (!allocated) throw new Fault('tool', `microVM ${vm.uid} has no MAC address for interface "${nic}"`);
    const index = vm.spec.interfaces.findIndex((i) => i.name === nic);
    return {
      table: tableName(names),
      device: tapName(names, vm.uid, index),
      mac: allocated.mac,
      ...(allocated.address !== undefined && { address: allocated.address }),
    };
  },

  async make(intent, { vm, ports, signal }) {
    const nic = vm.spec.interfaces.find((_, i) => tapName(ports.names, vm.uid, i) === intent.device);
    await networkOf(ports, vm, nic?.name ?? '').ensure(signal);
    await ports.network.addGuard(intent, signal);
    return null;
  },

  unmake: (intent, _result, { ports, signal }) => ports.network.removeGuard(intent, signal),
};

import { Fault } from '../domain/fault.ts';
import { guestName } from '../domain/guest-name.ts';
import type { LeaseIntent } from '../ports/network.ts';
import { managedOf } from './managed.ts';
import type { StepDef } from './step.ts';

/** The DHCP server's reservation: this MAC address gets this address. */
export const lease: StepDef<'lease', LeaseIntent, null> = {
  timeoutMs: 180_000,
  lane: 'network',
  onTimeout: 'NetworkFailed',

  intent({ nic }, { vm, ports }) {
    const managed = managedOf(ports);
    const allocated = vm.allocation.interfaces[nic];
    if (allocated?.address === undefined)
      throw new Fault('tool', `microVM ${vm.uid} has no address for interface "${nic}"`);
    return {
      directory: managed.dhcpDirectory,
      file: `${vm.uid}-${nic}`,
      bridge: managed.bridge,
      mac: allocated.mac,
      address: allocated.address,
      // A record of an earlier version has none.
      hostname: allocated.hostname ?? guestName(vm.spec, vm.uid, nic, new Set()),
      ...(vm.spec.interfaces.find(({ name }) => name === nic)?.address !== undefined && {
        isStatic: true as const,
      }),
    };
  },

  async make(intent, { ports, signal }) {
    await managedOf(ports).ensure(signal);
    await ports.network.addLease(intent, signal);
    return null;
  },

  unmake: (intent, _result, { ports, signal }) => ports.network.removeLease(intent, signal),
};

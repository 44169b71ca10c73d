import { Fault } from '../domain/fault.ts';
import type { MicroVm } from '../domain/microvm.ts';
import type { LeaseIntent } from '../ports/network.ts';
import { managedOf } from './managed.ts';
import type { StepDef } from './step.ts';

/** The DHCP server's reservation: this MAC address gets this address. */
export const lease: StepDef<'lease', LeaseIntent, null> = {
  timeoutMs: 60_000,
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
      hostname: hostname(vm, nic),
    };
  },

  async make(intent, { ports, signal }) {
    await managedOf(ports).ensure(signal);
    await ports.network.addLease(intent, signal);
    return null;
  },

  unmake: (intent, _result, { ports, signal }) => ports.network.removeLease(intent, signal),
};

/** A DNS label (RFC 1123): what an id may have beside letters and digits becomes `-`; the first interface has the plain name. */
function hostname(vm: MicroVm, nic: string): string {
  const isFirst = vm.spec.interfaces[0]?.name === nic;
  const text = isFirst ? vm.spec.id : `${vm.spec.id}-${nic}`;
  const label = text
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, '-')
    .slice(0, 63);
  return label.replaceAll(/^-+|-+$/g, '') || `vm-${vm.uid.toLowerCase()}`;
}

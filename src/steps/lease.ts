import { z } from 'zod';
import { Fault } from '../domain/fault.ts';
import { guestName } from '../domain/guest-name.ts';
import type { LeaseIntent } from '../ports/network.ts';
import { managedOf } from './managed.ts';
import { nicOf, tapsOf } from './nics.ts';
import { maybe, nothing, text } from './row.ts';
import type { VmStepDef } from './step.ts';

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    lease: { intent: LeaseIntent; result: null };
  }
}

export const leaseIntent = z.strictObject({
  directory: text,
  file: text,
  bridge: text,
  mac: text,
  address: text,
  hostname: text,
  isStatic: maybe(z.literal(true)),
});

/** The DHCP server's reservation: this MAC address gets this address. */
export const lease: VmStepDef<'lease'> = {
  row: { version: 1, intent: leaseIntent, result: nothing },
  timeoutMs: 180_000,
  lane: 'network',
  after: ['image'],
  onTimeout: 'NetworkFailed',
  condition: 'NetworkReady',
  atBoot: 'gone',
  // On somebody else's bridge the addresses are not ours to give.
  wanted: (vm) => tapsOf(vm).filter((nic) => vm.allocation.interfaces[nic]?.address !== undefined),
  says: (nic, vm) => `reserve ${nicOf(vm, nic)?.address ?? 'an address'} in DHCP`,

  intent(nic, { vm, ports }) {
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
      ...(nicOf(vm, nic)?.address !== undefined && { isStatic: true as const }),
    };
  },

  async make(intent, { ports, signal }) {
    await managedOf(ports).ensure(signal);
    await ports.network.addLease(intent, signal);
    return null;
  },

  unmake: (intent, _result, { ports, signal }) => ports.network.removeLease(intent, signal),

  again: {
    under: 'bridge',
    needs: ({ bridge }) => bridge,
    add: (intent, network, signal) => network.addLease(intent, signal),
    remove: (intent, network, signal) => network.removeLease(intent, signal),
  },

  expect({ intent: { directory, file, isStatic } }, to) {
    to.thing('file', `${directory}/hosts/${file}`);
    // Whether it is whole is looked at with the network; of a name that the server would misread there is none.
    if (isStatic) to.thing('file', `${directory}/names/${file}`, false);
  },
};

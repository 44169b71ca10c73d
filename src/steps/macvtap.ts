import { z } from 'zod';
import { Fault } from '../domain/fault.ts';
import { aliasOf, macvtapTableName, tapName, vmStateDirectory } from '../domain/names.ts';
import { parseStatic } from '../domain/static-address.ts';
import type { MacvtapIntent } from '../ports/network.ts';
import { parentOf } from './managed.ts';
import { allocatedTo, macvtapsOf } from './nics.ts';
import { maybe, number, text } from './row.ts';
import type { VmStepDef } from './step.ts';

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    macvtap: { intent: MacvtapIntent; result: { readonly index: number; readonly mac: string } };
  }
}

/** The host's side of one interface: a macvtap on the parent, guarded before anything passes. */
export const macvtap: VmStepDef<'macvtap'> = {
  row: {
    version: 1,
    intent: z.strictObject({
      device: text,
      parent: text,
      mac: text,
      alias: text,
      table: text,
      address: maybe(text),
      node: text,
    }),
    result: z.strictObject({ index: number, mac: text }),
  },
  timeoutMs: 180_000,
  lane: 'network',
  after: ['image', 'directory'],
  onTimeout: 'NetworkFailed',
  condition: 'NetworkReady',
  atBoot: 'gone',
  wanted: macvtapsOf,
  says: () => 'make the device on the host',

  intent(nic, { vm, ports }) {
    const { names } = ports;
    const { parent } = parentOf(ports);
    const { mac } = allocatedTo(vm, nic);
    const index = vm.spec.interfaces.findIndex((i) => i.name === nic);
    const given = vm.spec.interfaces[index]?.address;
    const fixed = given === undefined ? undefined : parseStatic(given);
    return {
      device: tapName(names, vm.uid, index),
      parent,
      mac,
      alias: aliasOf(names, vm.uid),
      table: macvtapTableName(names),
      node: `${vmStateDirectory(names, vm.uid)}/macvtap${index}`,
      ...(fixed && 'address' in fixed && { address: fixed.address }),
    };
  },

  async make(intent, { ports, signal }) {
    const parent = parentOf(ports);
    if (parent.parent !== intent.parent)
      throw new Fault(
        'refused',
        `This microVM belongs on parent ${intent.parent}: start flintlockd with --parent-iface ${intent.parent}`,
        { reason: 'NetworkFailed', terminal: false },
      );
    await parent.ensure(signal);
    const { index, mac } = await ports.network.addMacvtap(intent, signal);
    return { index, mac };
  },

  unmake: (intent, _result, { ports, signal }) => ports.network.removeMacvtap(intent, signal),

  again: {
    under: 'parent',
    needs: ({ device }) => device,
    add: (intent, network, signal) => network.addMacvtap(intent, signal),
    remove: (intent, network, signal) => network.removeMacvtap(intent, signal),
  },

  show:
    (nic, { device }, { index, mac }) =>
    (made) => ({ ...made, interfaces: { ...made.interfaces, [nic]: { device, index, hostMac: mac } } }),

  expect({ kind, intent }, to) {
    to.thing('interface', intent.device);
    to.thing('file', intent.node, false); // where the host made none
    to.elements({ kind, intent });
  },
};

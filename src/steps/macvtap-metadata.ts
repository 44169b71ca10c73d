import { z } from 'zod';
import { Fault } from '../domain/fault.ts';
import { macvtapServiceAddress, macvtapServiceName, macvtapTableName, tapName } from '../domain/names.ts';
import type { MacvtapPortIntent } from '../ports/network.ts';
import { parentOf } from './managed.ts';
import { asks } from './nics.ts';
import { nothing, number, text } from './row.ts';
import type { VmStepDef } from './step.ts';

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    'macvtap-metadata': { intent: MacvtapPortIntent; result: null };
  }
}

/** The microVM's own port of the metadata service, and the way there from its macvtap that may ask. */
export const macvtapMetadata: VmStepDef<'macvtap-metadata'> = {
  row: {
    version: 1,
    intent: z.strictObject({ table: text, device: text, service: text, mac: text, address: text, port: number }),
    result: nothing,
  },
  timeoutMs: 180_000,
  lane: 'network',
  after: ['image', 'macvtap'],
  onTimeout: 'NetworkFailed',
  condition: 'NetworkReady',
  atBoot: 'gone',
  wanted: (vm) => (asks(vm, 'MACVTAP') ? [''] : []),
  says: () => 'serve its metadata at 169.254.169.254',

  intent(_key, { vm, ports: { names } }) {
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

  again: {
    under: 'parent',
    add: (intent, network, signal) => network.addMacvtapPort(intent, signal),
    remove: (intent, network, signal) => network.removeMacvtapPort(intent, signal),
  },

  expect: ({ kind, intent }, to) => to.elements({ kind, intent }),
};

import { z } from 'zod';
import { Fault } from '../domain/fault.ts';
import { gatewayOf } from '../domain/ipv4.ts';
import { metadataTableName, tapName } from '../domain/names.ts';
import type { MetadataPortIntent } from '../ports/network.ts';
import { cidrOf, managedOf } from './managed.ts';
import { asks } from './nics.ts';
import { nothing, number, text, texts } from './row.ts';
import type { VmStepDef } from './step.ts';

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    metadata: { intent: MetadataPortIntent; result: null };
  }
}

export const metadataIntent = z.strictObject({ table: text, devices: texts, address: text, port: number });

/** The microVM's own port of the metadata service, and the way there from the interfaces that may ask. */
export const metadata: VmStepDef<'metadata'> = {
  row: { version: 1, intent: metadataIntent, result: nothing },
  timeoutMs: 180_000,
  lane: 'network',
  after: ['image'],
  onTimeout: 'NetworkFailed',
  condition: 'NetworkReady',
  atBoot: 'gone',
  wanted: (vm) => (asks(vm, 'TAP') ? [''] : []),
  says: () => 'serve its metadata at 169.254.169.254',

  intent(_key, { vm, ports }) {
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

  again: {
    under: 'bridge',
    add: (intent, network, signal) => network.addMetadataPort(intent, signal),
    remove: (intent, network, signal) => network.removeMetadataPort(intent, signal),
  },

  // And a socket of the daemon's.
  expect: ({ kind, intent }, to) => to.elements({ kind, intent }),
};

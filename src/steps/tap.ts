import { z } from 'zod';
import { aliasOf, tapName } from '../domain/names.ts';
import type { TapIntent } from '../ports/network.ts';
import { networkOf, networkWith } from './managed.ts';
import { tapsOf } from './nics.ts';
import { number, text } from './row.ts';
import type { VmStepDef } from './step.ts';

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    tap: { intent: TapIntent; result: { readonly index: number; readonly mac: string } };
  }
}

/** The host's side of one interface: a tap on the network's bridge. */
export const tap: VmStepDef<'tap'> = {
  row: {
    version: 1,
    intent: z.strictObject({ device: text, bridge: text, alias: text }),
    result: z.strictObject({ index: number, mac: text }),
  },
  timeoutMs: 180_000,
  lane: 'network',
  // Nothing passes unguarded.
  after: ['image', 'guard'],
  onTimeout: 'NetworkFailed',
  condition: 'NetworkReady',
  atBoot: 'gone',
  wanted: tapsOf,
  says: () => 'make the device on the host',

  intent(nic, { vm, ports }) {
    const index = vm.spec.interfaces.findIndex((i) => i.name === nic);
    return {
      device: tapName(ports.names, vm.uid, index),
      bridge: networkOf(ports, vm, nic).bridge,
      alias: aliasOf(ports.names, vm.uid),
    };
  },

  async make(intent, { vm, ports, signal }) {
    await networkWith(ports, vm, intent.bridge).ensure(signal);
    return ports.network.addTap(intent, signal);
  },

  unmake: (intent, _result, { ports, signal }) => ports.network.removeTap(intent, signal),

  again: {
    under: 'bridge',
    needs: ({ bridge }) => bridge,
    add: (intent, network, signal) => network.addTap(intent, signal),
    remove: (intent, network, signal) => network.removeTap(intent, signal),
  },

  show:
    (nic, { device }, { index, mac }) =>
    (made) => ({ ...made, interfaces: { ...made.interfaces, [nic]: { device, index, hostMac: mac } } }),

  expect({ intent: { device, bridge } }, to) {
    to.thing('interface', device);
    to.thing('bridge-port', `${device} on ${bridge}`);
  },
};

import { aliasOf, tapName } from '../domain/names.ts';
import type { TapIntent } from '../ports/network.ts';
import type { StepResults } from './facts.ts';
import { networkOf, networkWith } from './managed.ts';
import type { StepDef } from './step.ts';

/** The host's side of one interface: a tap on the network's bridge. */
export const tap: StepDef<'tap', TapIntent, StepResults['tap']> = {
  timeoutMs: 180_000,
  lane: 'network',
  onTimeout: 'NetworkFailed',

  intent({ nic }, { vm, ports }) {
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

  show:
    ({ nic }, { device }, { index, mac }) =>
    (made) => ({ ...made, interfaces: { ...made.interfaces, [nic]: { device, index, hostMac: mac } } }),
};

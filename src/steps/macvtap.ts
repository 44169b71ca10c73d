import { Fault } from '../domain/fault.ts';
import type { MicroVm } from '../domain/microvm.ts';
import { aliasOf, macvtapTableName, type Names, tapName, vmStateDirectory } from '../domain/names.ts';
import { parseStatic } from '../domain/static-address.ts';
import type { MacvtapIntent } from '../ports/network.ts';
import type { StepResults } from './facts.ts';
import { parentOf } from './managed.ts';
import type { StepDef } from './step.ts';

/** The host's side of one interface: a macvtap on the parent, guarded before anything passes. */
export const macvtap: StepDef<'macvtap', MacvtapIntent, StepResults['macvtap']> = {
  timeoutMs: 180_000,
  lane: 'network',
  onTimeout: 'NetworkFailed',

  intent: ({ nic }, { vm, ports }) => macvtapIntent(ports.names, vm, nic, parentOf(ports).parent),

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

  show:
    ({ nic }, { device }, { index, mac }) =>
    (made) => ({ ...made, interfaces: { ...made.interfaces, [nic]: { device, index, hostMac: mac } } }),
};

function macvtapIntent(names: Names, vm: MicroVm, nic: string, parent: string): MacvtapIntent {
  const index = vm.spec.interfaces.findIndex((i) => i.name === nic);
  const allocated = vm.allocation.interfaces[nic];
  if (!allocated) throw new Fault('tool', `microVM ${vm.uid} has no MAC address for interface "${nic}"`);
  const given = vm.spec.interfaces[index]?.address;
  const fixed = given === undefined ? undefined : parseStatic(given);
  return {
    device: tapName(names, vm.uid, index),
    parent,
    mac: allocated.mac,
    alias: aliasOf(names, vm.uid),
    table: macvtapTableName(names),
    node: `${vmStateDirectory(names, vm.uid)}/macvtap${index}`,
    ...(fixed && 'address' in fixed && { address: fixed.address }),
  };
}

import { z } from 'zod';
import { Fault } from '../domain/fault.ts';
import { tableName } from '../domain/names.ts';
import { publishedText } from '../domain/published.ts';
import type { PublishIntent } from '../ports/network.ts';
import { managedOf } from './managed.ts';
import { nicOf, tapsOf } from './nics.ts';
import { nothing, number, text } from './row.ts';
import type { Planned, VmStepDef } from './step.ts';

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    publish: { intent: PublishIntent; result: null };
  }
}

export const publishIntent = z.strictObject({
  table: text,
  address: text,
  ports: z.array(
    z.strictObject({ hostPort: number, guestPort: number, protocol: z.enum(['tcp', 'udp']), hostIp: text }),
  ),
});

/** The host's ports that lead to one interface: all of them in one transaction. */
export const publish: VmStepDef<'publish'> = {
  row: { version: 1, intent: publishIntent, result: nothing },
  timeoutMs: 180_000,
  lane: 'network',
  after: ['image'],
  onTimeout: 'NetworkFailed',
  condition: 'NetworkReady',
  atBoot: 'gone',
  wanted: (vm) => tapsOf(vm).filter((nic) => portsOf(vm, nic).length > 0),
  says: (nic, vm) =>
    portsOf(vm, nic)
      .map((port) => `lead ${publishedText(port)} to port ${port.guestPort}`)
      .join(', '),

  intent(nic, { vm, ports: { names } }) {
    const address = vm.allocation.interfaces[nic]?.address;
    if (address === undefined) throw new Fault('tool', `microVM ${vm.uid} has no address for interface "${nic}"`);
    return { table: tableName(names), address, ports: portsOf(vm, nic) };
  },

  async make(intent, { ports, signal }) {
    await managedOf(ports).ensure(signal);
    await ports.network.addPorts(intent, signal);
    return null;
  },

  unmake: (intent, _result, { ports, signal }) => ports.network.removePorts(intent, signal),

  again: {
    under: 'bridge',
    add: (intent, network, signal) => network.addPorts(intent, signal),
    remove: (intent, network, signal) => network.removePorts(intent, signal),
  },

  expect: ({ kind, intent }, to) => to.elements({ kind, intent }),
};

const portsOf = (vm: Planned, nic: string) => nicOf(vm, nic)?.publishedPorts ?? [];

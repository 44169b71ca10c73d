import { z } from 'zod';
import { tableName, tapName } from '../domain/names.ts';
import type { GuardIntent } from '../ports/network.ts';
import { networkOf } from './managed.ts';
import { allocatedTo, tapsOf } from './nics.ts';
import { maybe, nothing, text } from './row.ts';
import type { VmStepDef } from './step.ts';

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    guard: { intent: GuardIntent; result: null };
  }
}

export const guardIntent = z.strictObject({ table: text, device: text, mac: text, address: maybe(text) });

/** One interface's guard in the firewall: the guest can take nobody else's MAC, and on the managed network nobody else's IPv4 address. */
export const guard: VmStepDef<'guard'> = {
  row: { version: 1, intent: guardIntent, result: nothing },
  timeoutMs: 180_000,
  lane: 'network',
  after: ['image'],
  onTimeout: 'NetworkFailed',
  condition: 'NetworkReady',
  atBoot: 'gone',
  wanted: tapsOf,
  says: () => 'let nothing through but what comes from its own MAC and address',

  intent(nic, { vm, ports: { names } }) {
    const { mac, address } = allocatedTo(vm, nic);
    const index = vm.spec.interfaces.findIndex((i) => i.name === nic);
    return {
      table: tableName(names),
      device: tapName(names, vm.uid, index),
      mac,
      ...(address !== undefined && { address }),
    };
  },

  async make(intent, { vm, ports, signal }) {
    const nic = vm.spec.interfaces.find((_, i) => tapName(ports.names, vm.uid, i) === intent.device);
    await networkOf(ports, vm, nic?.name ?? '').ensure(signal);
    await ports.network.addGuard(intent, signal);
    return null;
  },

  unmake: (intent, _result, { ports, signal }) => ports.network.removeGuard(intent, signal),

  again: {
    under: 'bridge',
    add: (intent, network, signal) => network.addGuard(intent, signal),
    remove: (intent, network, signal) => network.removeGuard(intent, signal),
  },

  expect: ({ kind, intent }, to) => to.elements({ kind, intent }),
};

import { z } from 'zod';
import type { MacvtapPathIntent } from '../ports/network.ts';
import { nothing, number, text } from './row.ts';
import type { HostStepDef } from './step.ts';

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    'macvtap-path': { intent: MacvtapPathIntent; result: null };
  }
}

/** The way from macvtaps to the metadata service. */
export const macvtapPath: HostStepDef<'macvtap-path'> = {
  row: {
    version: 1,
    intent: z.strictObject({ table: text, device: text, parent: text, alias: text, address: text, routes: number }),
    result: nothing,
  },
  timeoutMs: 120_000,
  make: (intent, network, signal) => network.addMacvtapPath(intent, signal),
  unmake: (intent, network, signal) => network.removeMacvtapPath(intent, signal),
  expect({ intent: { table, device, routes } }, to) {
    to.thing('interface', device);
    to.thing('firewall-table', `inet ${table}`);
    to.thing('routing-rule', `to table ${routes}`);
    to.thing('routes', `in table ${routes}`);
  },
};

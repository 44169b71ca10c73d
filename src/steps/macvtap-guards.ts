import { z } from 'zod';
import type { MacvtapGuardsIntent } from '../ports/network.ts';
import { nothing, text } from './row.ts';
import type { HostStepDef } from './step.ts';

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    'macvtap-guards': { intent: MacvtapGuardsIntent; result: null };
  }
}

/** The table that holds the guards of all macvtaps. */
export const macvtapGuards: HostStepDef<'macvtap-guards'> = {
  row: { version: 1, intent: z.strictObject({ table: text }), result: nothing },
  timeoutMs: 120_000,
  make: (intent, network, signal) => network.addMacvtapGuards(intent, signal),
  unmake: (intent, network, signal) => network.removeMacvtapGuards(intent, signal),
  expect: ({ intent: { table } }, to) => to.thing('firewall-table', `netdev ${table}`),
};

import { z } from 'zod';
import type { GuardsIntent } from '../ports/network.ts';
import { nothing, text } from './row.ts';
import type { HostStepDef } from './step.ts';

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    guards: { intent: GuardsIntent; result: null };
  }
}

/** The table that holds the guards of all taps. */
export const guards: HostStepDef<'guards'> = {
  row: { version: 1, intent: z.strictObject({ table: text, prefix: text }), result: nothing },
  timeoutMs: 120_000,
  make: (intent, network, signal) => network.addGuards(intent, signal),
  unmake: (intent, network, signal) => network.removeGuards(intent, signal),
  expect: ({ intent: { table } }, to) => to.thing('firewall-table', `bridge ${table}`),
};

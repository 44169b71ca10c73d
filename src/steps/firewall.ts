import { z } from 'zod';
import type { FirewallIntent } from '../ports/network.ts';
import { nothing, text } from './row.ts';
import type { HostStepDef } from './step.ts';

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    firewall: { intent: FirewallIntent; result: null };
  }
}

/** What guests of the managed network may send where. */
export const firewall: HostStepDef<'firewall'> = {
  row: { version: 1, intent: z.strictObject({ table: text, bridge: text, cidr: text }), result: nothing },
  timeoutMs: 120_000,
  make: (intent, network, signal) => network.addFirewall(intent, signal),
  unmake: (intent, network, signal) => network.removeFirewall(intent, signal),
  expect: ({ intent: { table } }, to) => to.thing('firewall-table', `inet ${table}`),
};

import { z } from 'zod';
import type { PublishingIntent } from '../ports/network.ts';
import { nothing, text } from './row.ts';
import type { HostStepDef } from './step.ts';

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    publishing: { intent: PublishingIntent; result: null };
  }
}

/** The table with the ports of the host that lead to guests. */
export const publishing: HostStepDef<'publishing'> = {
  row: { version: 1, intent: z.strictObject({ table: text, bridge: text, cidr: text }), result: nothing },
  timeoutMs: 120_000,
  make: (intent, network, signal) => network.addPublishing(intent, signal),
  unmake: (intent, network, signal) => network.removePublishing(intent, signal),
  expect: ({ intent: { table } }, to) => to.thing('firewall-table', `ip ${table}`),
};

import { z } from 'zod';
import { nothing } from './row.ts';
import type { HostStepDef } from './step.ts';

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    /** `was`: forwarding before us, put back at the end. */
    forwarding: { intent: { readonly was: boolean }; result: null };
  }
}

/** That the host forwards IPv4: what guests send out leaves it. */
export const forwarding: HostStepDef<'forwarding'> = {
  row: { version: 1, intent: z.strictObject({ was: z.boolean() }), result: nothing },
  timeoutMs: 120_000,
  make: (_intent, network) => network.setForwarding(true),
  unmake: async ({ was }, network) => {
    if (!was) await network.setForwarding(false);
  },
  expect() {}, // a setting, not a thing
};

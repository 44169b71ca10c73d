import { z } from 'zod';
import type { MetadataPathIntent } from '../ports/network.ts';
import { nothing, number, text } from './row.ts';
import type { HostStepDef } from './step.ts';

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    'metadata-path': { intent: MetadataPathIntent; result: null };
  }
}

/** The way from the managed network's guests to the metadata service. */
export const metadataPath: HostStepDef<'metadata-path'> = {
  row: {
    version: 1,
    intent: z.strictObject({ table: text, prefix: text, bridge: text, address: text, routes: number }),
    result: nothing,
  },
  timeoutMs: 120_000,
  make: (intent, network, signal) => network.addMetadataPath(intent, signal),
  unmake: (intent, network, signal) => network.removeMetadataPath(intent, signal),
  expect({ intent: { table, routes } }, to) {
    for (const family of ['inet', 'bridge']) to.thing('firewall-table', `${family} ${table}`);
    to.thing('routing-rule', `to table ${routes}`);
    to.thing('routes', `in table ${routes}`);
  },
};

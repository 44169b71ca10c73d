import { z } from 'zod';
import type { BridgeIntent } from '../ports/network.ts';
import { nothing, text } from './row.ts';
import type { HostStepDef } from './step.ts';

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    bridge: { intent: BridgeIntent; result: null };
  }
}

/** The managed network's bridge. */
export const bridge: HostStepDef<'bridge'> = {
  row: { version: 1, intent: z.strictObject({ bridge: text, alias: text, address: text }), result: nothing },
  timeoutMs: 120_000,
  make: (intent, network, signal) => network.addBridge(intent, signal),
  unmake: (intent, network, signal) => network.removeBridge(intent, signal),
  expect: ({ intent: { bridge } }, to) => to.thing('interface', bridge),
};

import { z } from 'zod';
import type { ProbeIntent } from '../ports/network-probe.ts';
import { guardIntent } from './guard.ts';
import { leaseIntent } from './lease.ts';
import { metadataIntent } from './metadata.ts';
import { publishIntent } from './publish.ts';
import { nothing, text } from './row.ts';
import type { HostStepDef } from './step.ts';

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    probe: { intent: ProbeIntent; result: null };
  }
}

/** What tries the ways of guests, as one of them. */
export const probe: HostStepDef<'probe'> = {
  row: {
    version: 1,
    intent: z.strictObject({
      bridge: text,
      device: text,
      table: text,
      gateway: text,
      cidr: text,
      lease: leaseIntent,
      guard: guardIntent,
      metadata: metadataIntent,
      publish: publishIntent,
    }),
    result: nothing,
  },
  timeoutMs: 30_000,
  make: (intent, network, signal) => network.addProbe(intent, signal),
  unmake: (intent, network, signal) => network.removeProbe(intent, signal),
  expect({ intent: { bridge, device, table, lease, guard, metadata, publish } }, to) {
    // Whether it is whole is looked at all the time, and mended: see `engine/host-network.ts`.
    to.thing('file', `${lease.directory}/hosts/${lease.file}`, false);
    to.elements({ kind: 'guard', intent: guard }, false);
    to.elements({ kind: 'metadata', intent: metadata }, false);
    to.elements({ kind: 'publish', intent: publish }, false);
    // There only while it is at work.
    to.thing('interface', device, false);
    to.thing('bridge-port', `${device} on ${bridge}`, false);
    for (const family of ['inet', 'bridge']) to.thing('firewall-table', `${family} ${table}`, false);
  },
};

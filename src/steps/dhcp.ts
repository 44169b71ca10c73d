import { z } from 'zod';
import type { DhcpIntent } from '../ports/network.ts';
import { nothing, text } from './row.ts';
import type { HostStepDef } from './step.ts';

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    dhcp: { intent: DhcpIntent; result: null };
  }
}

/** The managed network's DHCP and DNS server. */
export const dhcp: HostStepDef<'dhcp'> = {
  row: {
    version: 1,
    intent: z.strictObject({ directory: text, bridge: text, cidr: text, gateway: text }),
    result: nothing,
  },
  timeoutMs: 120_000,
  make: (intent, network, signal) => network.startDhcp(intent, signal),
  unmake: (intent, network, signal) => network.stopDhcp(intent, signal),
  expect({ intent: { directory } }, to) {
    to.thing('directory', directory);
    for (const name of ['hosts', 'names']) to.part(`${directory}/${name}`);
    to.within(`${directory}/log/`);
    for (const name of ['leases', 'log', 'resolv.conf', 'ways.json']) to.thing('file', `${directory}/${name}`, false);
    to.within(`${directory}/dnsmasq-`); // the server's pid file, by the bridge's index
    // The argument itself, not a part of one: what only mentions the directory is no server of ours.
    to.process((argv) => argv.some((word) => word.includes(`${directory}/hosts`)));
  },
};

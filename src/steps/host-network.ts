import type { SharedKind } from '../domain/ledger.ts';
import type {
  BridgeIntent,
  DhcpIntent,
  FirewallIntent,
  GuardsIntent,
  MacvtapGuardsIntent,
  MacvtapPathIntent,
  Macvtaps,
  MetadataPathIntent,
  MetadataPaths,
  Network,
  PortGuards,
  Publisher,
  PublishingIntent,
} from '../ports/network.ts';
import type { NetworkProbe, ProbeIntent } from '../ports/network-probe.ts';

/** What is made once for the host, by the managed network and for a parent, and how each is unmade. */
export interface HostStepIntents {
  /** `was`: forwarding before us, put back at the end. */
  forwarding: { readonly was: boolean };
  bridge: BridgeIntent;
  firewall: FirewallIntent;
  guards: GuardsIntent;
  publishing: PublishingIntent;
  'metadata-path': MetadataPathIntent;
  dhcp: DhcpIntent;
  /** What tries the ways of guests, as one of them. */
  probe: ProbeIntent;
  'macvtap-guards': MacvtapGuardsIntent;
  'macvtap-path': MacvtapPathIntent;
}
export type HostStepKind = keyof HostStepIntents & SharedKind;
export type HostStepPorts = Network & PortGuards & Publisher & MetadataPaths & Macvtaps & NetworkProbe;

interface HostStepDef<I> {
  readonly timeoutMs: number;
  make(intent: I, network: HostStepPorts, signal: AbortSignal): Promise<void>;
  unmake(intent: I, network: HostStepPorts, signal: AbortSignal): Promise<void>;
}

export const hostSteps: { readonly [K in HostStepKind]: HostStepDef<HostStepIntents[K]> } = {
  forwarding: {
    timeoutMs: 120_000,
    make: (_intent, network) => network.setForwarding(true),
    unmake: async ({ was }, network) => {
      if (!was) await network.setForwarding(false);
    },
  },
  bridge: {
    timeoutMs: 120_000,
    make: (intent, network, signal) => network.addBridge(intent, signal),
    unmake: (intent, network, signal) => network.removeBridge(intent, signal),
  },
  firewall: {
    timeoutMs: 120_000,
    make: (intent, network, signal) => network.addFirewall(intent, signal),
    unmake: (intent, network, signal) => network.removeFirewall(intent, signal),
  },
  guards: {
    timeoutMs: 120_000,
    make: (intent, network, signal) => network.addGuards(intent, signal),
    unmake: (intent, network, signal) => network.removeGuards(intent, signal),
  },
  publishing: {
    timeoutMs: 120_000,
    make: (intent, network, signal) => network.addPublishing(intent, signal),
    unmake: (intent, network, signal) => network.removePublishing(intent, signal),
  },
  'metadata-path': {
    timeoutMs: 120_000,
    make: (intent, network, signal) => network.addMetadataPath(intent, signal),
    unmake: (intent, network, signal) => network.removeMetadataPath(intent, signal),
  },
  dhcp: {
    timeoutMs: 120_000,
    make: (intent, network, signal) => network.startDhcp(intent, signal),
    unmake: (intent, network, signal) => network.stopDhcp(intent, signal),
  },
  probe: {
    timeoutMs: 30_000,
    make: (intent, network, signal) => network.addProbe(intent, signal),
    unmake: (intent, network, signal) => network.removeProbe(intent, signal),
  },
  'macvtap-guards': {
    timeoutMs: 120_000,
    make: (intent, network, signal) => network.addMacvtapGuards(intent, signal),
    unmake: (intent, network, signal) => network.removeMacvtapGuards(intent, signal),
  },
  'macvtap-path': {
    timeoutMs: 120_000,
    make: (intent, network, signal) => network.addMacvtapPath(intent, signal),
    unmake: (intent, network, signal) => network.removeMacvtapPath(intent, signal),
  },
};

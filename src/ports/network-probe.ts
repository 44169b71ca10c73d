import type { GuardIntent, LeaseIntent, MetadataPortIntent, PublishIntent } from './network.ts';

/** What a guest needs of its network, each tried as a guest would. */
export const WAYS = ['dhcp', 'dns', 'names', 'metadata', 'published', 'large', 'out'] as const;
export type Way = (typeof WAYS)[number];

/** What stands on the host for the probe, as for a guest: nothing lets it through that would not let a guest through. */
export interface ProbeIntent {
  readonly bridge: string;
  /** The host's side of its cable; there only while it is at work. */
  readonly device: string;
  /** Two tables, of the families inet and bridge, that are there only while it is at work. */
  readonly table: string;
  readonly gateway: string;
  /** `10.77.0.0/24` */
  readonly cidr: string;
  readonly lease: LeaseIntent;
  readonly guard: GuardIntent;
  readonly metadata: MetadataPortIntent;
  readonly publish: PublishIntent;
}

/** What came of trying one way. */
export type WayFound = Readonly<
  { way: Way } & (
    | { is: 'open' }
    /** The host itself cannot: no fault of the way. A clause. */
    | { is: 'absent'; why: string }
    /** `why`: what refuses it, as a sentence; `remedy`: what lets it through, in that firewall's words; `isSure`: who
     * refuses it was found. */
    | { is: 'blocked'; why: string; remedy: string; isSure: boolean }
  )
>;

/** A guest that is none: it finds out whether guests reach what they need. Faults as for `Network`. */
export interface NetworkProbe {
  addProbe(probe: ProbeIntent, signal: AbortSignal): Promise<void>;
  removeProbe(probe: ProbeIntent, signal: AbortSignal): Promise<void>;
  /** Tries every way, once more with a trace where one is blocked. Leaves nothing, however it ends. */
  tryWays(probe: ProbeIntent, signal: AbortSignal): Promise<readonly WayFound[]>;
}

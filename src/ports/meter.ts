import type { StateName } from '../domain/microvm.ts';
import type { Reason } from '../domain/reason.ts';
import type { TroubleKind } from '../domain/server-words.ts';
import type { Share } from '../domain/shares.ts';
import type { Way, WayFound } from './network-probe.ts';

/** Whatever of a guest's machine a VMM counts failures of. */
export type VmmDevice = 'disk' | 'interface' | 'vsock' | 'random' | 'cpu';

/** What operators count, told where it happens. Takes next to no time and never throws. */
export interface Meter {
  /** Whether a registry, or a directory, has said what a reference leads to. `ms`: how long the registry was waited for. */
  imageLookup(result: 'done' | 'failed' | 'cancelled', waited: { readonly ms?: number }): void;
  /** Bytes of an image's packed layers that have come. */
  pulledBytes(bytes: number): void;
  /** A run has ended by itself, and what the microVM is now. */
  runEnded(reason: Reason, now: StateName): void;
  /** How many guests ask for more than their share, of each. */
  overShare(guests: Readonly<Record<Share, number>>): void;
  /** The DHCP and DNS server has said so. */
  serverTrouble(kind: TroubleKind): void;
  /** How many DNS servers of the host's guests' questions are passed on to. */
  resolvers(count: number): void;
  /** What came of trying one of the ways of guests on the managed network. */
  wayTried(way: Way, is: WayFound['is']): void;
  /** A VMM has counted requests of its guest that failed. @param provider - its name */
  vmmFailures(provider: string, device: VmmDevice, count: number): void;
}

/** Nobody counts. */
export const NO_METER: Meter = {
  imageLookup: () => undefined,
  pulledBytes: () => undefined,
  runEnded: () => undefined,
  overShare: () => undefined,
  serverTrouble: () => undefined,
  resolvers: () => undefined,
  wayTried: () => undefined,
  vmmFailures: () => undefined,
};

import { objectsIn, textOf } from '../base/json.ts';
import type { BridgeIntent } from '../ports/network.ts';
import type { Flaw } from '../ports/network-watch.ts';
import type { Ip } from './ip.ts';
import { printedBy } from './printed.ts';

export interface NeighbourGuest {
  readonly address: string;
  readonly mac: string;
  /** The uid of its microVM. */
  readonly owner: string;
}

/** As they are set by hand; others are the kernel's own, and it asks again. */
const FIXED = new Set(['PERMANENT', 'NOARP']);

/** Guests whose address somebody has given another hardware address for good: what the host sends to them gets to nobody. */
export async function neighbourFlaws(
  { bridge }: Pick<BridgeIntent, 'bridge'>,
  guests: readonly NeighbourGuest[],
  ip: Ip,
  signal: AbortSignal,
): Promise<Flaw[]> {
  const rows = objectsIn(printedBy('ip', await ip.show([`neigh show dev ${bridge} nud all`], signal)));
  const fixed = new Map(
    rows
      .filter(({ state }) => Array.isArray(state) && state.some((one) => FIXED.has(textOf(one))))
      .map((row) => [textOf(row.dst), textOf(row.lladdr)]),
  );
  return guests.flatMap(({ address, mac, owner }): Flaw[] => {
    const found = fixed.get(address);
    if (found === undefined || found === mac) return [];
    return [
      {
        ...{ thing: `neighbour ${address}`, owner },
        what: `the host takes ${address} for the hardware address ${found || 'of nobody'}, not ${mac}, by an entry that is not ours`,
        mend: async (limited) => {
          await ip.batch([`neigh delete ${address} dev ${bridge}`], limited);
        },
      },
    ];
  });
}

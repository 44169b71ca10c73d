import { SHARES, type Share } from '../domain/shares.ts';
import type { OverShare, Shares } from '../ports/network.ts';
import { guard } from './failure.ts';
import type { Nft } from './nft.ts';

/** How long it is known that somebody asked for more. */
const SEEN = 'timeout 1m';
/** The most guests that a network has room for (/16), and their names in a set. */
const MOST = 65_535;

/** What a set is called in which somebody stands who asked for more than a share. */
const overSet = (share: Share): string => `over-${share.toLowerCase()}`;
const ratesSet = (share: Share): string => `rates-${share.toLowerCase()}`;

type Rate = { readonly [S in Share]: (typeof SHARES)[S] extends { readonly each: number } ? S : never }[Share];
type Count = Exclude<Share, Rate>;
/** By which a guest is known where the rule is: an address on our network is proved by the guard, as the tap is. */
export type Key = 'ifname' | 'ipv4_addr' | 'mark';
const KEYS: Readonly<Record<Key, string>> = { ifname: 'iifname', ipv4_addr: 'ip saddr', mark: 'meta mark' };

/** Whether a set is one of those that the kernel fills by itself. */
export const isOfShares = (set: string): boolean => /^(?:over|rates)-/.test(set);

/** The declarations that the rules of a share need. */
export function shareSets(share: Share, key: Key): string {
  const flags = isRate(share) ? 'flags dynamic,timeout; timeout 1m;' : 'flags dynamic;';
  return `  set ${ratesSet(share)} { type ${key}; size ${MOST}; ${flags} }
  set ${overSet(share)} { type ${key}; size ${MOST}; flags dynamic,timeout; ${SEEN}; }
`;
}

const isRate = (share: Share): share is Rate => typeof SHARES[share] !== 'number';

/** The end of a rule: matches what is over the share, and remembers whose it is. A verdict follows. */
export function overRate(share: Rate, key: Key): string {
  const { each, burst } = SHARES[share];
  const limit = `limit rate over ${each}/second burst ${burst} packets`;
  return `update @${ratesSet(share)} { ${KEYS[key]} ${limit} } update @${overSet(share)} { ${KEYS[key]} }`;
}

/** The same for what is counted: of packets that begin a connection. */
export function overCount(share: Count, key: Key, most: number = SHARES[share]): string {
  const count = `ct count over ${most}`;
  return `ct state new add @${ratesSet(share)} { ${KEYS[key]} ${count} } update @${overSet(share)} { ${KEYS[key]} }`;
}

/** Reads who is over a share. */
export function createShares(nft: Nft): Shares {
  return {
    overShares: (tables, signal) =>
      guard('read who asks for more than its share', async () => {
        const found: OverShare[] = [];
        for (const table of tables) {
          const [family = '', name = ''] = table.split(' ');
          for (const { kind, row } of (await nft.table(family, name, signal)) ?? []) {
            const share = SHARE_NAMES.find((one) => overSet(one) === row.name);
            if (kind !== 'set' || !share || !Array.isArray(row.elem)) continue;
            for (const one of row.elem) {
              const value = keyOf(one);
              if (typeof value === 'number') found.push({ share, port: value });
              else if (typeof value === 'string')
                found.push(row.type === 'ifname' ? { share, device: value } : { share, address: value });
            }
          }
        }
        return found;
      }),
  };
}

const SHARE_NAMES = Object.keys(SHARES) as readonly Share[];

/** `{"elem": {"val": "10.77.0.2", "expires": 59}}` (libnftables-json(5)). */
function keyOf(element: unknown): unknown {
  if (typeof element !== 'object' || element === null || !('elem' in element)) return element;
  const { elem } = element;
  return typeof elem === 'object' && elem !== null && 'val' in elem ? elem.val : undefined;
}

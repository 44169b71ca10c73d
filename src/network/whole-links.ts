import { objectOf, objectsIn, textOf } from '../base/json.ts';
import type { LedgerEntry } from '../domain/ledger.ts';
import type { BridgeIntent, MacvtapPathIntent } from '../ports/network.ts';
import type { Flaw } from '../ports/network-watch.ts';
import { plain } from './failure.ts';
import type { Ip } from './ip.ts';
import { bridgeMac } from './links.ts';
import { printedBy } from './printed.ts';

/** An interface with all of it that we set. */
export interface WholeLink {
  readonly device: string;
  readonly index: number;
  readonly mac: string;
  readonly alias: string;
  readonly kind: string;
  readonly master: string;
  readonly isUp: boolean;
  readonly speaksArp: boolean;
  /** Of a tap: whether somebody has it open. */
  readonly isPlugged: boolean;
  /** IPv4 and IPv6: `10.77.0.1/24`. */
  readonly addresses: readonly string[];
  /** Of a bridge: 1 where spanning tree keeps new ports waiting. */
  readonly stp: number;
  /** Of a port of a bridge; `setApart`: what of it is to be set right, as words for ip(8). */
  readonly port: { readonly setApart: readonly string[]; readonly guard: boolean } | undefined;
}

/** How a port lets packets through; each with what its bridge takes it for in the beginning. */
const PORT_FLAGS: Readonly<Record<string, boolean>> = {
  ...{ isolated: false, locked: false, neigh_suppress: false, hairpin: false, proxy_arp: false, proxy_arp_wifi: false },
  ...{ learning: true, flood: true, mcast_flood: true, bcast_flood: true },
};

/** Of BR_STATE_*, linux/if_bridge.h. */
const FORWARDING = 3;

/** Reads what `ip -j -d address show` printed. */
export function parseWholeLinks(json: string): readonly WholeLink[] {
  return objectsIn(printedBy('ip', json))
    .filter((row) => typeof row.ifname === 'string')
    .map((row) => {
      const info = objectOf(row.linkinfo);
      const isPlugged = Array.isArray(row.flags) && row.flags.includes('LOWER_UP');
      const port = info.info_slave_kind === 'bridge' ? objectOf(info.info_slave_data) : undefined;
      return {
        device: textOf(row.ifname),
        index: typeof row.ifindex === 'number' ? row.ifindex : 0,
        mac: textOf(row.address),
        alias: textOf(row.ifalias),
        kind: textOf(info.info_kind),
        master: textOf(row.master),
        isUp: Array.isArray(row.flags) && row.flags.includes('UP'),
        isPlugged,
        speaksArp: !(Array.isArray(row.flags) && row.flags.includes('NOARP')),
        addresses: objectsIn(row.addr_info).map((one) => `${textOf(one.local)}/${String(one.prefixlen)}`),
        stp: Number(objectOf(info.info_data).stp_state ?? 0),
        port: port && {
          setApart: [
            ...Object.entries(PORT_FLAGS).flatMap(([flag, usual]) =>
              port[flag] === !usual ? [`${flag} ${usual ? 'on' : 'off'}`] : [],
            ),
            // One that nobody has open is that by itself.
            ...(textOf(port.state) === 'disabled' && isPlugged ? [`state ${FORWARDING}`] : []),
          ],
          guard: port.guard === true,
        },
      };
    });
}

export function bridgeFlaws(intent: BridgeIntent, links: readonly WholeLink[], ip: Ip): Flaw[] {
  const { bridge, alias, address } = intent;
  const there = links.find((link) => link.device === bridge);
  const flaw = (part: string, what: string, more: Partial<Flaw> = {}): Flaw => ({
    ...{ thing: `interface ${bridge} ${part}`, what: `the bridge ${bridge} ${what}` },
    ...more,
  });
  const renamed = links.find((link) => link.kind === 'bridge' && link.alias === alias);
  if (!there && renamed) return [flaw('name', `is called ${renamed.device} now`, renaming(renamed.device, bridge, ip))];
  if (there?.kind !== 'bridge') return [flaw('itself', there ? `is a ${there.kind || 'device'} now` : 'is gone')];
  const foreign = there.addresses.filter((one) => one !== address);
  return [
    ...(there.alias === alias ? [] : [flaw('alias', 'has lost its mark')]),
    ...(there.isUp ? [] : [flaw('up', 'is down', { isChoice: true })]),
    ...(there.mac === bridgeMac(bridge) ? [] : [flaw('MAC', `has another MAC address, ${there.mac}`)]),
    ...(there.speaksArp
      ? []
      : [
          flaw('arp', 'does not speak ARP, so nobody finds the host', {
            isChoice: true,
            mend: async (signal) => {
              await ip.batch([`link set dev ${bridge} arp on`], signal);
            },
          }),
        ]),
    ...(there.stp === 0 ? [] : [flaw('stp', 'speaks the spanning tree protocol', { isChoice: true })]),
    ...(there.addresses.includes(address) ? [] : [flaw('address', `has lost its address ${address}`)]),
    ...(foreign.length === 0
      ? []
      : [
          flaw('foreign addresses', `has an address that is not ours, ${foreign.join(', ')}`, {
            mend: async (signal) => {
              await ip.batch(
                foreign.map((one) => `address delete ${one} dev ${bridge}`),
                signal,
              );
            },
          }),
        ]),
  ];
}

/**
 * @param entry - made: its result has the MAC address of the host's side
 * @param isOurs - whether the bridge is the daemon's own: flags of a port on another are its owner's affair
 */
export function tapFlaws(entry: LedgerEntry<'tap'>, links: readonly WholeLink[], isOurs: boolean, ip: Ip): Flaw[] {
  const { device, bridge, alias } = entry.intent;
  const there = links.find((link) => link.device === device);
  const flaw = (part: string, what: string, commands?: readonly string[]): Flaw => ({
    ...{ thing: `interface ${device} ${part}`, what: `the tap ${device} ${what}`, owner: entry.owner.uid },
    ...(commands && {
      mend: async (signal) => {
        await ip.batch(commands, signal);
      },
    }),
  });
  // Its MAC address is made of its first name.
  const renamed = links.find((link) => link.kind === 'tun' && link.alias === alias && link.mac === entry.result?.mac);
  // Made anew it would be another than the one that the VMM has open.
  if (!there && renamed)
    return [{ ...flaw('name', `is called ${renamed.device} now`), ...renaming(renamed.device, device, ip) }];
  if (!there) return [flaw('itself', 'is gone')];
  const { mac = there.mac } = entry.result ?? {};
  const { port, addresses } = there;
  const setApart = isOurs ? (port?.setApart ?? []) : [];
  return [
    ...(there.alias === alias ? [] : [flaw('alias', 'has lost its mark')]),
    // A bridge of others may be away: its own look tells that.
    ...(there.master === bridge || !links.some((link) => link.device === bridge)
      ? []
      : [flaw('master', there.master === '' ? `is on no bridge` : `is on ${there.master}, not on ${bridge}`)]),
    ...(there.isUp ? [] : [flaw('up', 'is down')]),
    ...sideFlaws(there, mac, flaw),
    ...(setApart.length === 0
      ? []
      : [
          flaw('port', `is set apart from the other ports of its bridge (wanted: ${setApart.join(', ')})`, [
            `link set dev ${device} type bridge_slave ${setApart.join(' ')}`,
          ]),
        ]),
    ...(port?.guard === false
      ? [
          flaw('bpdu', 'could speak for the spanning tree of its bridge', [
            `link set dev ${device} type bridge_slave guard on`,
          ]),
        ]
      : []),
    ...(addresses.length === 0
      ? []
      : [flaw('addresses', `was given ${addresses.join(', ')}`, [`address flush dev ${device}`])]),
  ];
}

/** A device of ours gets its name back, and then whatever else it lost while it was another. */
const renaming = (from: string, to: string, ip: Ip): Pick<Flaw, 'mend' | 'remake'> => ({
  mend: async (signal) => {
    const now = plain('interface', from);
    await ip.batch([`link set dev ${now} down`, `link set dev ${now} name ${to} up`], signal);
  },
  remake: true,
});

/**
 * Whether a VMM has open another tap than its own, which somebody deleted, and which was made anew since: also where it has let
 * go of the other, whoever watched then.
 *
 * @param entry - its result has the index of the one that was made first
 */
export async function cutOffFlaws(
  { intent: { device }, owner, result }: LedgerEntry<'tap'>,
  links: readonly WholeLink[],
  opened: () => Promise<readonly string[] | undefined>,
): Promise<Flaw[]> {
  const there = links.find((link) => link.device === device);
  if (!there?.isUp || there.isPlugged) return [];
  const names = await opened();
  const isFirst = there.index === (result?.index ?? there.index);
  if (!names || names.includes(device) || (names.length === 0 && isFirst)) return [];
  const what =
    `the tap ${device} was deleted while its guest ran, and the one that was made in its place is not the one that the ` +
    'VMM has open: the guest has no network; where that lasts, stop and start it';
  return [{ thing: `interface ${device} open`, what, owner: owner.uid, isLasting: true, cutOff: device }];
}

/** Of macvtaps: one that is gone is told elsewhere, for nobody can give it back to a guest that runs. */
export function macvtapFlaws(entry: LedgerEntry<'macvtap'>, links: readonly WholeLink[], ip: Ip): Flaw[] {
  const { device, mac } = entry.intent;
  const there = links.find((link) => link.device === device);
  if (!there) return [];
  const flaw = (part: string, what: string, commands: readonly string[]): Flaw => ({
    ...{ thing: `interface ${device} ${part}`, what: `the macvtap ${device} ${what}`, owner: entry.owner.uid },
    mend: async (signal) => {
      await ip.batch(commands, signal);
    },
  });
  const { addresses } = there;
  return [
    ...(there.isUp ? [] : [flaw('up', 'is down', [`link set dev ${device} up`])]),
    ...sideFlaws(there, mac, flaw),
    ...(addresses.length === 0
      ? []
      : [flaw('addresses', `was given ${addresses.join(', ')}`, [`address flush dev ${device}`])]),
  ];
}

export function macvtapPathFlaws({ device }: MacvtapPathIntent, links: readonly WholeLink[]): Flaw[] {
  const there = links.find((link) => link.device === device);
  const thing = `interface ${device}`;
  if (!there) return [{ thing, what: `the interface ${device}, which leads macvtaps to the metadata, is gone` }];
  return there.isUp ? [] : [{ thing, what: `the interface ${device}, which leads macvtaps to the metadata, is down` }];
}

function sideFlaws(
  there: WholeLink,
  mac: string,
  flaw: (part: string, what: string, commands: readonly string[]) => Flaw,
): Flaw[] {
  if (there.mac === mac) return [];
  return [
    flaw('MAC', `has another MAC address, ${there.mac}, not ${mac}`, [`link set dev ${there.device} address ${mac}`]),
  ];
}

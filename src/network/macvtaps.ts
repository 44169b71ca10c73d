import type { Files, Run } from '../ports/host.ts';
import type { MacvtapIntent, Macvtaps } from '../ports/network.ts';
import { failed, guard, plain } from './failure.ts';
import { asNumber, DHCP, LINK_LOCAL, SNAP, TAGGED } from './guards.ts';
import type { Ip, Link } from './ip.ts';
import { SERVICE } from './metadata-paths.ts';
import { type Nft, removal } from './nft.ts';
import { createTapNodes } from './tap-node.ts';

type Devices = Pick<Macvtaps, 'addMacvtapGuards' | 'removeMacvtapGuards' | 'addMacvtap' | 'removeMacvtap'>;

/**
 * Macvtaps, each with its own chain at the point where its guest's frames
 * leave it: before the parent, its siblings or the wire see any of them.
 */
export function createMacvtaps(hands: {
  readonly ip: Ip;
  readonly nft: Nft;
  readonly run: Run;
  readonly files: Files;
}): Devices {
  const { ip, nft, files } = hands;
  const nodes = createTapNodes(hands);

  return {
    addMacvtapGuards: ({ table }, signal) =>
      guard(`set firewall table netdev ${table}`, () => nft.apply(macvtapGuards(plain('table', table)), signal)),

    removeMacvtapGuards: ({ table }, signal) =>
      guard(`remove firewall table netdev ${table}`, () =>
        nft.apply(removal(`netdev ${plain('table', table)}`), signal),
      ),

    addMacvtap: (intent, signal) =>
      guard(`add macvtap ${intent.device} to ${intent.parent}`, async () => {
        const device = plain('interface', intent.device);
        const mac = plain('MAC', intent.mac);
        const alias = plain('alias', intent.alias);
        const there = await ip.find(device, signal);
        if (there) refuseForeign(there, intent);
        const parent = plain('interface', intent.parent);
        const create = `link add link ${parent} name ${device} address ${mac} type macvtap mode bridge`;
        await ip.batch([...(there ? [] : [create]), `link set dev ${device} alias ${alias} addrgenmode none`], signal);
        // Down until its guard stands.
        await nft.apply(macvtapGuard(intent), signal);
        await ip.batch([`link set dev ${device} up`], signal);
        const made = await ip.find(device, signal);
        if (!made) throw failed(`it was removed meanwhile, or its parent ${parent} was`);
        return { index: made.index, mac: made.mac, node: await nodes.node(device, made.index, intent.node, signal) };
      }),

    removeMacvtap: (intent, signal) =>
      guard(`remove macvtap ${intent.device}`, async () => {
        const device = plain('interface', intent.device);
        const there = await ip.find(device, signal);
        if (there) {
          refuseForeign(there, intent);
          await ip.remove(device, signal);
        }
        await files.remove(intent.node);
        const table = plain('table', intent.table);
        // Some kernels take a chain away with its device.
        const chains = await nft.chains(signal);
        if (chains.some((c) => c.family === 'netdev' && c.table === table && c.name === device))
          await nft.apply(`flush chain netdev ${table} ${device}\ndelete chain netdev ${table} ${device}`, signal);
      }),
  };
}

// As of a tap: its name is the instance's own, and the intent was written first.
function refuseForeign(there: Link, { alias }: MacvtapIntent): void {
  if (there.kind === 'macvtap' && (there.alias === alias || there.alias === '')) return;
  throw failed(
    `Interface ${there.device} is there and is not ours: its kind is ${there.kind || 'unknown'} and its alias ` +
      `${there.alias ? JSON.stringify(there.alias) : 'empty'}. Rename or remove it: ip link delete dev ${there.device}`,
  );
}

/** The part that all have: who may ask for metadata stands in `marks`; see `macvtap-path.ts`. */
export function macvtapGuards(table: string): string {
  return `table netdev ${table} {
  map marks { type ifname : mark; }
  map service { type ifname : ether_addr; }
  chain metadata { }
}
flush chain netdev ${table} metadata
table netdev ${table} {
  chain metadata {
    meta mark set 0
    # Nobody but the host has this address: neither a neighbour nor who is on the wire.
    arp saddr ip ${SERVICE} drop
    ip saddr ${SERVICE} drop
    arp daddr ip ${SERVICE} arp operation request oifname @marks meta mark set ${ARP_MARK} ether daddr set oifname map @service accept
    ip daddr ${SERVICE} tcp dport 80 oifname @marks meta mark set oifname map @marks ether daddr set oifname map @service accept
    arp daddr ip ${SERVICE} drop
    ip daddr ${SERVICE} drop
  }
}
`;
}

/** Of a question for the service's MAC address. Below the ports that are marks, see `domain/next-number.ts`. */
export const ARP_MARK = 19_999;

export function macvtapGuard({ table: name, device, mac: own, address }: MacvtapIntent): string {
  const table = plain('table', name);
  const mac = plain('MAC', own);
  const only =
    address === undefined
      ? []
      : [
          `ether type arp arp saddr ip != { 0.0.0.0, ${plain('address', address)} } drop`,
          'ether type ip ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept',
          `ether type ip ip saddr != ${plain('address', address)} drop`,
          // Nor does it tell others where to go, or what they are called: one whose address is its own affair may be a router.
          'udp sport { 67, 547 } drop',
          'icmp type { redirect, router-advertisement } drop',
          'icmpv6 type { nd-router-advert, nd-redirect } drop',
        ];
  return `table netdev ${table} {
  chain ${device} { type filter hook egress device "${device}" priority 0; policy accept; }
}
flush chain netdev ${table} ${device}
table netdev ${table} {
  chain ${device} {
    ether saddr != ${mac} drop
    # A tag would lead it past the rules below, into another network of the wire.
    ${TAGGED} drop
    ${SNAP} drop
    ${LINK_LOCAL} drop
    ether type arp arp saddr ether != ${mac} drop
    # As on a tap; what is too short for it says nothing.
    udp dport 67 ip frag-off & 0x3fff != 0 drop
    udp dport 67 udp length < 248 drop
    udp dport 67 ${DHCP.request.replace(' ', ' != ')} drop
    udp dport 67 ${DHCP.client} != ${asNumber(mac)} drop
    ${only.join('\n    ')}
    jump metadata
  }
}
`;
}

import { Semaphore } from '../base/semaphore.ts';
import { Fault } from '../domain/fault.ts';
import type { GuardIntent, GuardsIntent, PortGuards } from '../ports/network.ts';
import { guard, plain } from './failure.ts';
import { type Nft, removal } from './nft.ts';
import { overRate, shareSets } from './shares.ts';

/**
 * Guards as elements of sets: one rule set for any number of taps, one
 * transaction for each tap.
 */
export function createGuards(nft: Nft): PortGuards {
  // What is read of the elements is written again: no guard may go in between, or a part of it would come back.
  const turns = new Semaphore(1);
  return {
    addGuards: ({ table, prefix }, signal) =>
      inTurn(turns, `set firewall table bridge ${table}`, signal, async () => {
        const rules = guardsRules({ table: plain('table', table), prefix: plain('prefix', prefix) });
        // Guards of an earlier version said nothing of DHCP: their guests would be heard no more.
        const held = await nft.elements({ table: `bridge ${table}`, name: 'macs' }, signal);
        const clients = held
          .flatMap((one) => clientOf(one))
          .map((one) => `add element bridge ${table} clients { ${one} }`);
        await nft.apply([rules, ...clients].join('\n'), signal);
      }),

    removeGuards: ({ table }, signal) =>
      inTurn(turns, `remove firewall table bridge ${table}`, signal, () =>
        nft.apply(removal(`bridge ${plain('table', table)}`), signal),
      ),

    addGuard: (intent, signal) =>
      inTurn(turns, `guard ${intent.device}`, signal, () => nft.change(guardElements('add', intent), signal)),

    // What is added in the same transaction can be deleted whether it was there or not.
    removeGuard: (intent, signal) =>
      inTurn(turns, `remove the guard of ${intent.device}`, signal, async () => {
        try {
          await nft.change([...guardElements('add', intent), ...guardElements('delete', intent)], signal);
        } catch (error) {
          if (!(error instanceof Fault && /No such file or directory/.test(error.message))) throw error; // no table: no guard
        }
      }),
  };
}

function inTurn(turns: Semaphore, what: string, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  return guard(what, () => turns.run(signal, work));
}

/** As commands of nft. */
export function guardElements(verb: 'add' | 'delete', intent: GuardIntent): string[] {
  const table = plain('table', intent.table);
  const device = `"${plain('interface', intent.device)}"`;
  const mac = plain('MAC', intent.mac);
  return [
    `${verb} element bridge ${table} ports { ${device} }`,
    `${verb} element bridge ${table} macs { ${device} . ${mac} }`,
    `${verb} element bridge ${table} clients { ${device} . ${asNumber(mac)} }`,
    intent.address === undefined
      ? `${verb} element bridge ${table} unaddressed { ${device} }`
      : `${verb} element bridge ${table} addresses { ${device} . ${plain('address', intent.address)} }`,
  ];
}

/** Of an element of `macs` that is one of `clients`. */
function clientOf(element: unknown): string[] {
  const parts = typeof element === 'object' && element !== null && 'concat' in element ? element.concat : undefined;
  if (!Array.isArray(parts)) return [];
  const [device, mac] = parts.map(String);
  return device && mac ? [`"${plain('interface', device)}" . ${asNumber(plain('MAC', mac))}`] : [];
}

/** The form in which nft lists it, so that the audit finds it: what is compared with bytes of a packet is an integer. */
export const asNumber = (mac: string): number => Number.parseInt(mac.replaceAll(':', ''), 16);

/**
 * What is matched of a DHCP message (RFC 2131, 2): from the UDP header on, the
 * operation is at bit 64, hardware type and length follow, the relay's address
 * is at 256, the client's hardware address at 288. A match of bytes that a
 * packet does not have is none: so what is right is let through, and the rest dropped.
 */
export const DHCP = {
  /** A request, from Ethernet, with six bytes of address. */
  request: '@th,64,24 0x010106',
  notRelayed: '@th,256,32 0',
  client: '@th,288,48',
} as const;

/** Frames that a bridge does not pass on by rights: spanning tree, LLDP, 802.1X and such (IEEE 802.1Q, table 8-1). */
export const LINK_LOCAL = 'ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00';

/** Tags that lead to other networks: by switches behind, with those from before the standard too. */
export const TAGGED = 'ether type { 8021q, 8021ad, 0x9100, 0x9200, 0x9300 }';

/**
 * A frame of the older form with what is an Ethernet frame by its type inside (RFC 1042): some systems read ARP and IPv4 there, and
 * no rule below does.
 */
export const SNAP = 'ether type < 0x0600 @nh,0,48 0xaaaa03000000';

/**
 * Each protocol in which a guest could name another is held to what the tap
 * is: Ethernet, ARP, DHCP, IPv4. Two who speak of others by nature are no
 * guest's: who answers DHCP would give its neighbours a gateway of its choice
 * (clients look at the port that they are sent to, not at the one that it came
 * from), and who answers multicast DNS, LLMNR or NetBIOS would be whatever its
 * neighbours ask for. Nor does a guest tell its neighbours of gateways. IPv6 is not let through at all.
 *
 * A question for an address from nobody (an ARP probe, RFC 5227) may be for the
 * own one only: to a neighbour that probes the same one it says that it is taken.
 *
 * The sets are declared, not made anew: what they hold stays, while the rules are replaced in the same transaction.
 */
export function guardsRules({ table, prefix }: GuardsIntent): string {
  const sets = `table bridge ${table} {
  set ports { type ifname; }
  set macs { type ifname . ether_addr; }
  set clients { typeof iifname . ${DHCP.client}; }
  set addresses { type ifname . ipv4_addr; }
  set unaddressed { type ifname; }
${shareSets('dhcp', 'ifname')}${shareSets('broadcast', 'ifname')}  chain dhcp-clients { }
  chain arp-senders { }
  chain prerouting { type filter hook prerouting priority -300; policy accept; }
  chain input { type filter hook input priority -300; policy accept; }
}
`;
  const rules = `table bridge ${table} {
  chain dhcp-clients {
    # The client's address could be in a later piece.
    ip frag-off & 0x3fff != 0 drop
    iifname @unaddressed ${DHCP.request} iifname . ${DHCP.client} @clients return
    ${DHCP.request} ${DHCP.notRelayed} iifname . ${DHCP.client} @clients return
    drop
  }
  chain prerouting {
    iifname != "${prefix}*" accept
    iifname != @ports drop
    iifname . ether saddr != @macs drop
    ${LINK_LOCAL} drop
    # A tag would lead it past the rules below, into another network.
    ${TAGGED} drop
    ${SNAP} drop
    ether type arp iifname . arp saddr ether != @macs drop
    udp dport 67 ${overRate('dhcp', 'ifname')} drop
    udp dport 67 jump dhcp-clients
    # On a bridge that is not ours: who may have which address, and who serves DHCP, is its owner's business.
    iifname @unaddressed accept
    ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00 ${overRate('broadcast', 'ifname')} drop
    ether type arp arp htype 1 arp ptype ip arp hlen 6 arp plen 4 arp operation { request, reply } jump arp-senders
    ether type != ip drop
    udp sport 67 drop
    udp dport { 68, 137, 138, 5355 } drop
    udp sport { 137, 5355 } drop
    icmp type { redirect, router-advertisement } drop
    udp dport 5353 ip daddr 224.0.0.0/4 drop
    udp sport 5353 udp dport 5353 drop
    ip option lsrr exists drop
    ip option ssrr exists drop
    ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept
    iifname . ip saddr @addresses accept
    drop
  }
  chain arp-senders {
    arp saddr ip 0.0.0.0 iifname . arp daddr ip @addresses accept
    iifname . arp saddr ip @addresses accept
    drop
  }
  chain input {
    # What a bridge takes itself, such as 802.1X, comes here and nowhere else.
    iifname "${prefix}*" ${LINK_LOCAL} drop
  }
}
`;
  const flushed = ['dhcp-clients', 'arp-senders', 'prerouting', 'input'].map(
    (chain) => `flush chain bridge ${table} ${chain}\n`,
  );
  return `${sets}${flushed.join('')}${rules}`;
}

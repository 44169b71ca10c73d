import { Fault } from '../domain/fault.ts';
import type { GuardIntent, GuardsIntent, PortGuards } from '../ports/network.ts';
import { guard, plain } from './failure.ts';
import { type Nft, removal } from './nft.ts';

/**
 * Guards as elements of sets: one rule set for any number of taps, one
 * transaction for each tap.
 */
export function createGuards(nft: Nft): PortGuards {
  return {
    addGuards: ({ table, prefix }, signal) =>
      guard(`set firewall table bridge ${table}`, () =>
        nft.apply(rulesOf({ table: plain('table', table), prefix: plain('prefix', prefix) }), signal),
      ),

    removeGuards: ({ table }, signal) =>
      guard(`remove firewall table bridge ${table}`, () =>
        nft.apply(removal(`bridge ${plain('table', table)}`), signal),
      ),

    addGuard: (intent, signal) =>
      guard(`guard ${intent.device}`, () => nft.apply(guardElements('add', intent).join('\n'), signal)),

    // What is added in the same transaction can be deleted whether it was there or not.
    removeGuard: (intent, signal) =>
      guard(`remove the guard of ${intent.device}`, async () => {
        try {
          await nft.apply([...guardElements('add', intent), ...guardElements('delete', intent)].join('\n'), signal);
        } catch (error) {
          if (!(error instanceof Fault && /No such file or directory/.test(error.message))) throw error; // no table: no guard
        }
      }),
  };
}

/** As commands of nft. */
export function guardElements(verb: 'add' | 'delete', intent: GuardIntent): string[] {
  const table = plain('table', intent.table);
  const device = `"${plain('interface', intent.device)}"`;
  return [
    `${verb} element bridge ${table} ports { ${device} }`,
    `${verb} element bridge ${table} macs { ${device} . ${plain('MAC', intent.mac)} }`,
    intent.address === undefined
      ? `${verb} element bridge ${table} unaddressed { ${device} }`
      : `${verb} element bridge ${table} addresses { ${device} . ${plain('address', intent.address)} }`,
  ];
}

/**
 * A guest that answers DHCP would give its neighbours a gateway of its choice.
 *
 * The sets are declared, not made anew: what they hold stays, while the rules are replaced in the same transaction.
 */
function rulesOf({ table, prefix }: GuardsIntent): string {
  const sets = `table bridge ${table} {
  set ports { type ifname; }
  set macs { type ifname . ether_addr; }
  set addresses { type ifname . ipv4_addr; }
  set unaddressed { type ifname; }
  chain prerouting { type filter hook prerouting priority -300; policy accept; }
}
`;
  const rules = `table bridge ${table} {
  chain prerouting {
    iifname != "${prefix}*" accept
    iifname != @ports drop
    iifname . ether saddr != @macs drop
    ether type arp iifname . arp saddr ether != @macs drop
    # On a bridge that is not ours: who may have which address, and who serves DHCP, is its owner's business.
    iifname @unaddressed accept
    ether type arp arp saddr ip 0.0.0.0 accept
    ether type arp iifname . arp saddr ip @addresses accept
    ether type ip ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept
    udp sport 67 drop
    ether type ip iifname . ip saddr @addresses accept
    drop
  }
}
`;
  return `${sets}flush chain bridge ${table} prerouting\n${rules}`;
}

import type { FirewallIntent, Network } from '../ports/network.ts';
import { guard, plain } from './failure.ts';
import { type Nft, removal } from './nft.ts';
import { overCount, overRate, shareSets } from './shares.ts';

type Firewall = Pick<Network, 'addFirewall' | 'removeFirewall' | 'tables' | 'removeTable'>;

/** The managed network's own table, replaced as a whole in one transaction. */
export function createFirewall(nft: Nft, connections?: number): Firewall {
  const removeTable = (table: string, signal: AbortSignal): Promise<void> =>
    guard(`remove firewall table ${table}`, () => {
      const [family = '', name = ''] = table.split(' ');
      return nft.apply(removal(`${plain('family', family)} ${plain('table', name)}`), signal);
    });

  return {
    removeTable,
    addFirewall: (intent, signal) =>
      guard(`set firewall table inet ${intent.table}`, () => nft.apply(firewallRules(intent, connections), signal)),
    removeFirewall: ({ table }, signal) => removeTable(`inet ${table}`, signal),
    tables: (signal) =>
      guard('list the firewall tables', async () =>
        (await nft.tables(signal)).map(({ family, name }) => `${family} ${name}`),
      ),
  };
}

/**
 * What the managed network needs and no more: guests reach each other, the
 * host and, by the host's own address, what the host reaches. From outside
 * only answers reach them, and what a published port leads there. It names no uplink: whichever the routes choose is
 * masqueraded, and without one the rules match nothing.
 *
 * An accept here is not the last word: another table's base chain may drop
 * what this one let pass. Docker sets the policy of `ip filter FORWARD` to
 * drop, and leaves the chain DOCKER-USER to the administrator:
 * `iptables -I DOCKER-USER -i BRIDGE -j ACCEPT` and
 * `iptables -I DOCKER-USER -o BRIDGE -j ACCEPT` let guests through there.
 */
export function firewallRules(intent: FirewallIntent, connections?: number): string {
  const table = plain('table', intent.table);
  const bridge = `"${plain('bridge', intent.bridge)}"`;
  const cidr = plain('CIDR', intent.cidr);
  return `${removal(`inet ${table}`)}table inet ${table} {
${shareSets('dns', 'ipv4_addr')}${shareSets('dnsConnections', 'ipv4_addr')}${shareSets('connections', 'ipv4_addr')}  chain shares {
    type filter hook prerouting priority mangle; policy accept;
    # Whose address it is, the guard of the tap has proved.
    iifname ${bridge} ip saddr ${cidr} ${overCount('connections', 'ipv4_addr', connections)} drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${cidr} ip daddr != ${cidr} oifname != ${bridge} masquerade
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    # Bridged packets come here too where br_netfilter is loaded.
    iifname ${bridge} oifname ${bridge} accept
    iifname ${bridge} ip saddr != ${cidr} drop
    iifname ${bridge} meta nfproto ipv6 drop
    iifname ${bridge} accept
    oifname ${bridge} ct state established,related accept
    # To a published port: see published.ts.
    oifname ${bridge} ct status dnat accept
    oifname ${bridge} drop
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname ${bridge} meta nfproto ipv6 drop
    iifname ${bridge} ip saddr ${cidr} udp dport 53 ${overRate('dns', 'ipv4_addr')} drop
    iifname ${bridge} ip saddr ${cidr} tcp dport 53 ${overCount('dnsConnections', 'ipv4_addr')} reject with tcp reset
    # The host answers for its address on the bridge to guests and itself, not to who routes packets there from outside.
    iifname != { ${bridge}, "lo" } ip daddr ${cidr} drop
  }
}
`;
}

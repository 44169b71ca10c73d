import type { Run } from '../ports/host.ts';
import type { FirewallIntent, Network } from '../ports/network.ts';
import { failed, guard, plain } from './failure.ts';

const TIMEOUT_MS = 10_000;

type Firewall = Pick<Network, 'addFirewall' | 'removeFirewall' | 'tables'> & {
  /** `inet name`, as `tables` names it. */
  removeTable(table: string, signal: AbortSignal): Promise<void>;
};

/** Tables of nftables, each replaced as a whole in one transaction. */
export function createFirewall(run: Run): Firewall {
  const apply = (rules: string, signal: AbortSignal): Promise<string> =>
    run(['nft', '-f', '-'], { signal, timeoutMs: TIMEOUT_MS, input: rules });

  return {
    addFirewall: (intent, signal) =>
      guard(`set firewall table inet ${intent.table}`, async () => {
        await apply(rulesOf(intent), signal);
      }),

    removeFirewall: ({ table }, signal) =>
      guard(`remove firewall table inet ${table}`, async () => {
        await apply(removal(`inet ${plain('table', table)}`), signal);
      }),

    tables: (signal) =>
      guard('list the firewall tables', async () =>
        parseTables(await run(['nft', '-j', 'list', 'tables'], { signal, timeoutMs: TIMEOUT_MS })),
      ),

    removeTable: (table, signal) =>
      guard(`remove firewall table ${table}`, async () => {
        const [family = '', name = ''] = table.split(' ');
        await apply(removal(`${plain('family', family)} ${plain('table', name)}`), signal);
      }),
  };
}

/** Naming a table makes it where it is not there, so that deleting it cannot fail. */
const removal = (table: string): string => `table ${table}\ndelete table ${table}\n`;

/**
 * What the managed network needs and no more: guests reach each other, the
 * host and, by the host's own address, what the host reaches. From outside
 * only answers reach them. It names no uplink: whichever the routes choose is
 * masqueraded, and without one the rules match nothing.
 *
 * An accept here is not the last word: another table's base chain may drop
 * what this one let pass. Docker sets the policy of `ip filter FORWARD` to
 * drop, and leaves the chain DOCKER-USER to the administrator:
 * `iptables -I DOCKER-USER -i BRIDGE -j ACCEPT` and
 * `iptables -I DOCKER-USER -o BRIDGE -j ACCEPT` let guests through there.
 */
function rulesOf(intent: FirewallIntent): string {
  const table = plain('table', intent.table);
  const bridge = `"${plain('bridge', intent.bridge)}"`;
  const cidr = plain('CIDR', intent.cidr);
  return `${removal(`inet ${table}`)}table inet ${table} {
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
    oifname ${bridge} drop
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname ${bridge} meta nfproto ipv6 drop
    # The host answers for its address on the bridge to guests and itself, not to who routes packets there from outside.
    iifname != { ${bridge}, "lo" } ip daddr ${cidr} drop
  }
}
`;
}

function parseTables(json: string): readonly string[] {
  const found: string[] = [];
  try {
    const { nftables }: { nftables: { table?: { family: string; name: string } }[] } = JSON.parse(json);
    for (const { table } of nftables) if (table) found.push(`${table.family} ${table.name}`);
  } catch (cause) {
    throw failed(`Cannot read what nft printed: ${JSON.stringify(json.slice(0, 200))}`, cause);
  }
  return found;
}

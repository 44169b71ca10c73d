import { Fault } from '../domain/fault.ts';
import type { HostRule, MetadataPathIntent, MetadataPaths, MetadataPortIntent } from '../ports/network.ts';
import { failed, guard, plain } from './failure.ts';
import type { Ip } from './ip.ts';
import { type Nft, removal } from './nft.ts';
import { overRate, shareSets } from './shares.ts';

/** Where all clouds have it, and so all guests look (RFC 3927). */
export const SERVICE = '169.254.169.254';
/** Before the host's own routes (32766), and before what VPNs put there (Tailscale: 5210 on). */
export const RULE_PRIORITY = 1_500;

/**
 * The tap that a packet came in on decides where it is led. Its mark is set in
 * the bridge, where the tap is known; by it, and by nothing in the packet, the
 * destination becomes the microVM's own port of the host; and that port takes
 * nothing that has another mark. Who sends with a neighbour's addresses still
 * has his own mark.
 *
 * The address itself is not put on the host, where it would hide the host's
 * own metadata service: a rule makes it local for what comes from the bridge
 * alone. Without a mark a guest gets no farther than that.
 */
export function createMetadataPaths({ nft, ip }: { readonly nft: Nft; readonly ip: Ip }): MetadataPaths {
  return {
    addMetadataPath: (intent, signal) =>
      guard(`lead guests to the metadata service by table ${intent.table}`, async () => {
        // The rules first: they keep guests from it until they are led there.
        await nft.apply(metadataRules(intent), signal);
        const routes = number('routing table', intent.routes, 2 ** 31);
        const isThere = (await ip.rules(signal)).some((rule) => rule.routes === String(routes));
        const add = `rule add priority ${RULE_PRIORITY} iif ${plain('bridge', intent.bridge)} to ${SERVICE} table ${routes}`;
        await ip.batch([`route replace local ${SERVICE}/32 dev lo table ${routes}`, ...(isThere ? [] : [add])], signal);
      }),

    removeMetadataPath: ({ table, routes }, signal) =>
      guard(`remove firewall table ${table}`, async () => {
        await removeRoutes(ip, number('routing table', routes, 2 ** 31), signal);
        const name = plain('table', table);
        await nft.apply(`${removal(`bridge ${name}`)}${removal(`inet ${name}`)}`, signal);
      }),

    addMetadataPort: (intent, signal) =>
      guard(`lead guests to port ${intent.port} of the metadata service`, () =>
        nft.change(metadataElements('add', intent), signal),
      ),

    // What is added in the same transaction can be deleted whether it was there or not.
    removeMetadataPort: (intent, signal) =>
      guard(`lead nobody to port ${intent.port} of the metadata service`, async () => {
        try {
          await nft.change([...metadataElements('add', intent), ...metadataElements('delete', intent)], signal);
        } catch (error) {
          if (!(error instanceof Fault && /No such file or directory/.test(error.message))) throw error; // no table: no port
        }
      }),

    rules: (signal): Promise<readonly HostRule[]> => guard('list the routing rules', () => ip.rules(signal)),
    removeRules: (routes, signal) =>
      guard(`remove the routing rules to table ${routes}`, () => removeRoutes(ip, routes, signal)),
  };
}

/** The rules that lead to a routing table, and the table. Not there is success. */
export async function removeRoutes(ip: Ip, routes: number, signal: AbortSignal): Promise<void> {
  for (const rule of await ip.rules(signal))
    if (rule.routes === String(routes))
      await ip.batch([`rule delete priority ${rule.priority} table ${routes}`], signal);
  await ip.batch([`route flush table ${routes}`], signal).catch((error: unknown) => {
    if (!(error instanceof Fault && /table does not exist/.test(error.message))) throw error;
  });
}

/** As commands of nft. */
export function metadataElements(verb: 'add' | 'delete', intent: MetadataPortIntent): string[] {
  const table = plain('table', intent.table);
  const port = number('port', intent.port, 32_767);
  return [
    ...intent.devices.map(
      (device) => `${verb} element bridge ${table} marks { "${plain('interface', device)}" : ${port} }`,
    ),
    `${verb} element inet ${table} targets { ${port} : ${plain('address', intent.address)} . ${port} }`,
    `${verb} element inet ${table} served { ${port} . ${port} }`,
    `${verb} element inet ${table} ports { ${port} }`,
  ];
}

export function number(what: string, value: number, most: number): number {
  if (Number.isInteger(value) && value >= 1 && value <= most) return value;
  throw failed(`The ${what} ${value} must be from 1 to ${most}`);
}

/**
 * The maps and sets are declared, not made anew: what they hold stays, while
 * the rules are replaced in the same transaction.
 *
 * The mark is set behind the guards (priority -300), which drop what is
 * forged, and the destination changed ahead of published ports (-100).
 */
export function metadataRules(intent: MetadataPathIntent): string {
  const table = plain('table', intent.table);
  const bridge = `"${plain('bridge', intent.bridge)}"`;
  const address = plain('address', intent.address);
  const chains = [
    ['bridge', 'prerouting', 'type filter hook prerouting priority -290; policy accept;'],
    ['inet', 'prerouting', 'type nat hook prerouting priority -101; policy accept;'],
    ['inet', 'input', 'type filter hook input priority -1; policy accept;'],
    ['inet', 'forward', 'type filter hook forward priority -1; policy accept;'],
  ] as const;
  const declared = `table bridge ${table} {
  map marks { type ifname : mark; }
}
table inet ${table} {
  map targets { type mark : ipv4_addr . inet_service; }
  set served { type mark . inet_service; }
  set ports { type inet_service; }
${shareSets('metadata', 'mark')}}
${chains.map(([family, name, head]) => `table ${family} ${table} {\n  chain ${name} { ${head} }\n}\nflush chain ${family} ${table} ${name}`).join('\n')}
`;
  return `${declared}table bridge ${table} {
  chain prerouting {
    iifname "${plain('prefix', intent.prefix)}*" ip daddr ${SERVICE} tcp dport 80 meta mark set iifname map @marks
  }
}
table inet ${table} {
  chain prerouting {
    iifname ${bridge} ip daddr ${SERVICE} tcp dport 80 dnat ip to meta mark map @targets
  }
  chain input {
    # One guest that opens connections without end takes no time from the others.
    iifname ${bridge} ip daddr ${address} meta mark . tcp dport @served ct state new ${overRate('metadata', 'mark')} drop
    iifname ${bridge} ip daddr ${address} meta mark . tcp dport @served accept
    # Neither another guest nor a user of the host.
    ip daddr ${address} tcp dport @ports drop
    iifname ${bridge} ip daddr ${SERVICE} meta l4proto tcp reject with tcp reset
    iifname ${bridge} ip daddr ${SERVICE} drop
  }
  chain forward {
    # Nor what the host itself has at this address, should the rule be gone that makes it local.
    iifname ${bridge} ip daddr ${SERVICE} drop
  }
}
`;
}

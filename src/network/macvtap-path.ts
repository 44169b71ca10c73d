import { Fault } from '../domain/fault.ts';
import type { Log } from '../ports/log.ts';
import type { MacvtapPathIntent, MacvtapPortIntent, Macvtaps } from '../ports/network.ts';
import { failed, guard, plain } from './failure.ts';
import type { Ip } from './ip.ts';
import { bridgeMac } from './links.ts';
import { ARP_MARK } from './macvtaps.ts';
import { number, RULE_PRIORITY, removeRoutes, SERVICE } from './metadata-paths.ts';
import { type Nft, removal } from './nft.ts';
import { overRate, shareSets } from './shares.ts';
import type { Sysctl } from './sysctl.ts';

type Path = Pick<Macvtaps, 'addMacvtapPath' | 'removeMacvtapPath' | 'addMacvtapPort' | 'removeMacvtapPort'>;

/**
 * Answers leave by this next hop, which nobody is: the MAC address is set
 * where they leave. So no answer waits for who says that he has the guest's address.
 */
const NEXT_HOP = { address: '169.254.0.2', mac: '02:00:00:00:00:02' };

/**
 * Macvtaps have no bridge of ours that could know them apart, and by default
 * their frames are on the wire at once. So where a guest's frames leave its
 * macvtap, those for the service are marked with the number of that macvtap
 * and addressed to a sibling of it, which is the host's: the kernel hands them
 * over without the wire. The sibling takes nothing without such a mark, that is
 * nothing from the wire, and by the mark the packets are led on to the
 * microVM's own port, as those of taps are. Answers go to the MAC address that
 * belongs to the mark.
 *
 * The service's address is nowhere on the host, as with taps; its ports are on
 * a loopback address, so that none is taken from anybody.
 */
export function createMacvtapPath(hands: {
  readonly ip: Ip;
  readonly nft: Nft;
  readonly sysctl: Sysctl;
  readonly log: Log;
}): Path {
  const { ip, nft, sysctl, log } = hands;

  return {
    addMacvtapPath: (intent, signal) =>
      guard(`lead macvtaps of ${intent.parent} to the metadata service`, async () => {
        const device = plain('interface', intent.device);
        const parent = plain('interface', intent.parent);
        const there = await ip.find(device, signal);
        if (there && there.kind !== 'macvlan') throw failed(`Interface ${device} is there and is not ours`);
        const create = `link add link ${parent} name ${device} address ${bridgeMac(device)} type macvlan mode bridge`;
        const alias = `link set dev ${device} alias ${plain('alias', intent.alias)} addrgenmode none`;
        await ip.batch([...(there ? [] : [create]), alias], signal);
        // Before it is up: nothing passes without the rules.
        await nft.apply(macvtapPathRules(intent), signal);
        const set = (name: string, value: string): Promise<void> =>
          sysctl.write(`net/${name.replace('DEVICE', device)}`, value, signal);
        await set('ipv4/conf/DEVICE/route_localnet', '1');
        await set('ipv4/conf/DEVICE/src_valid_mark', '1');
        await set('ipv6/conf/DEVICE/disable_ipv6', '1').catch((error: unknown) => {
          signal.throwIfAborted();
          log.debug('cannot turn IPv6 off; the rules drop it all the same', { device, error });
        });
        const routes = number('routing table', intent.routes, 2 ** 31);
        const rules = await ip.rules(signal);
        const wanted = [
          `iif ${device} to ${SERVICE}`,
          `from ${plain('address', intent.address)}`,
          `from ${SERVICE} fwmark ${ARP_MARK}`,
        ];
        const isWhole = rules.filter((rule) => rule.routes === String(routes)).length === wanted.length;
        if (!isWhole) await removeRoutes(ip, routes, signal);
        await ip.batch(
          [
            `link set dev ${device} up`,
            `neighbour replace ${NEXT_HOP.address} lladdr ${NEXT_HOP.mac} nud permanent dev ${device}`,
            `route replace local ${SERVICE}/32 dev lo table ${routes}`,
            `route replace default via ${NEXT_HOP.address} dev ${device} onlink table ${routes}`,
            ...(isWhole ? [] : wanted.map((one) => `rule add priority ${RULE_PRIORITY} ${one} table ${routes}`)),
          ],
          signal,
        );
      }),

    removeMacvtapPath: ({ table, device, routes }, signal) =>
      guard(`remove the way of macvtaps to the metadata service, ${device}`, async () => {
        await removeRoutes(ip, number('routing table', routes, 2 ** 31), signal);
        await ip.remove(plain('interface', device), signal);
        const name = plain('table', table);
        await nft.apply(removal(`inet ${name}`), signal);
        const chains = await nft.chains(signal);
        for (const chain of CHAINS)
          if (chains.some((c) => c.family === 'netdev' && c.table === name && c.name === chain))
            await nft.apply(`flush chain netdev ${name} ${chain}\ndelete chain netdev ${name} ${chain}`, signal);
      }),

    addMacvtapPort: (intent, signal) =>
      guard(`lead ${intent.device} to port ${intent.port} of the metadata service`, () =>
        nft.change(macvtapElements('add', intent), signal),
      ),

    // What is added in the same transaction can be deleted whether it was there or not.
    removeMacvtapPort: (intent, signal) =>
      guard(`lead nobody to port ${intent.port} of the metadata service`, async () => {
        try {
          await nft.change([...macvtapElements('add', intent), ...macvtapElements('delete', intent)], signal);
        } catch (error) {
          if (!(error instanceof Fault && /No such file or directory/.test(error.message))) throw error; // no table: no port
        }
      }),
  };
}

const CHAINS = ['service-in', 'service-out'] as const;

/** As commands of nft. */
export function macvtapElements(verb: 'add' | 'delete', intent: MacvtapPortIntent): string[] {
  const table = plain('table', intent.table);
  const device = plain('interface', intent.device);
  const port = number('port', intent.port, 32_767);
  const own = bridgeMac(plain('interface', intent.service));
  return [
    `${verb} element netdev ${table} service { "${device}" : ${own} }`,
    `${verb} element netdev ${table} marks { "${device}" : ${port} }`,
    `${verb} element netdev ${table} macs { ${port} : ${plain('MAC', intent.mac)} }`,
    `${verb} element netdev ${table} served { ${port} }`,
    `${verb} element inet ${table} targets { ${port} : ${port} }`,
    `${verb} element inet ${table} answers { ${port} : ${port} }`,
    `${verb} element inet ${table} zones-in { ${port} : ${port} }`,
    `${verb} element inet ${table} zones-out { ${port} : ${port} }`,
    `${verb} element inet ${table} served { ${port} . ${port} }`,
    `${verb} element inet ${table} ports { ${port} }`,
  ];
}

/**
 * Each microVM's connections are tracked in a zone of their own: two guests
 * with the same address and port, by chance or on purpose, do not meet.
 */
export function macvtapPathRules(intent: MacvtapPathIntent): string {
  const table = plain('table', intent.table);
  const device = plain('interface', intent.device);
  const address = plain('address', intent.address);
  const inet = [
    ['raw-in', 'type filter hook prerouting priority raw; policy accept;'],
    ['raw-out', 'type filter hook output priority raw; policy accept;'],
    ['prerouting', 'type nat hook prerouting priority -101; policy accept;'],
    ['input', 'type filter hook input priority -1; policy accept;'],
    ['output', 'type filter hook output priority -1; policy accept;'],
    ['forward', 'type filter hook forward priority -1; policy accept;'],
  ] as const;
  const netdev = [
    ['service-in', `type filter hook ingress device "${device}" priority 0; policy drop;`],
    ['service-out', `type filter hook egress device "${device}" priority 0; policy drop;`],
  ] as const;
  const chains = (family: string, list: readonly (readonly [string, string])[]): string =>
    list
      .map(
        ([name, head]) =>
          `table ${family} ${table} {\n  chain ${name} { ${head} }\n}\nflush chain ${family} ${table} ${name}\n`,
      )
      .join('');
  return `table netdev ${table} {
  map macs { type mark : ether_addr; }
  set served { type mark; }
}
table inet ${table} {
  map targets { type mark : inet_service; }
  map answers { type inet_service : mark; }
  map zones-in { typeof meta mark : ct zone; }
  map zones-out { typeof tcp sport : ct zone; }
  set served { type mark . inet_service; }
  set ports { type inet_service; }
${shareSets('metadata', 'mark')}}
${chains('netdev', netdev)}${chains('inet', inet)}table netdev ${table} {
  chain service-in {
    # What a guest of ours sent has a mark, what comes from the wire has none.
    arp daddr ip ${SERVICE} arp operation request meta mark ${ARP_MARK} accept
    ip daddr ${SERVICE} tcp dport 80 meta mark @served accept
  }
  chain service-out {
    arp saddr ip ${SERVICE} arp operation reply accept
    ip saddr ${SERVICE} tcp sport 80 meta mark @served ether daddr set meta mark map @macs accept
  }
}
table inet ${table} {
  chain raw-in {
    iifname "${device}" ct zone set meta mark map @zones-in
  }
  chain raw-out {
    oifname "${device}" ip saddr ${address} ct zone set tcp sport map @zones-out
  }
  chain prerouting {
    iifname "${device}" ip daddr ${SERVICE} tcp dport 80 dnat ip to ${address}:meta mark map @targets
  }
  chain input {
    # One guest that opens connections without end takes no time from the others.
    iifname "${device}" ip daddr ${address} meta mark . tcp dport @served ct state new ${overRate('metadata', 'mark')} drop
    iifname "${device}" ip daddr ${address} meta mark . tcp dport @served accept
    iifname "${device}" drop
    # Nor a user of the host.
    ip daddr ${address} tcp dport @ports drop
  }
  chain output {
    oifname "${device}" ip saddr ${address} ct direction reply meta mark set tcp sport map @answers accept
    oifname "${device}" drop
  }
  chain forward {
    iifname "${device}" drop
    oifname "${device}" drop
  }
}
`;
}

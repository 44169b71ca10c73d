import { Fault } from '../domain/fault.ts';
import type { PublishedPort } from '../domain/spec.ts';
import type { Publisher, PublishIntent, PublishingIntent } from '../ports/network.ts';
import { guard, plain } from './failure.ts';
import type { Flows } from './flows.ts';
import type { Ip } from './ip.ts';
import { type Nft, removal } from './nft.ts';
import type { Sysctl } from './sysctl.ts';

interface PublisherHands {
  readonly nft: Nft;
  readonly ip: Ip;
  readonly sysctl: Sysctl;
  readonly flows: Flows;
}

/**
 * Published ports as elements of maps: one rule set for any number of ports,
 * one transaction for all of an interface.
 */
export function createPublisher({ nft, ip, sysctl, flows }: PublisherHands): Publisher {
  const routeLocalnet = (bridge: string): string => `net/ipv4/conf/${plain('bridge', bridge)}/route_localnet`;

  return {
    addPublishing: (intent, signal) =>
      guard(`set firewall table ip ${intent.table}`, async () => {
        // The rules first: they drop what a guest could send to loopback addresses once the bridge routes them.
        await nft.apply(publishingRules(intent), signal);
        await sysctl.write(routeLocalnet(intent.bridge), '1', signal);
      }),

    removePublishing: ({ table, bridge }, signal) =>
      guard(`remove firewall table ip ${table}`, async () => {
        if (await ip.find(plain('bridge', bridge), signal)) await sysctl.write(routeLocalnet(bridge), '0', signal);
        await nft.apply(removal(`ip ${plain('table', table)}`), signal);
      }),

    addPorts: (intent, signal) =>
      guard(`publish ports of ${intent.address}`, async () => {
        await nft.change(publishElements('add', intent), signal);
        await flows.endBefore(intent.ports, signal);
      }),

    // What is added in the same transaction can be deleted whether it was there or not.
    removePorts: (intent, signal) =>
      guard(`unpublish ports of ${intent.address}`, async () => {
        try {
          await nft.change([...publishElements('add', intent), ...publishElements('delete', intent)], signal);
        } catch (error) {
          if (!(error instanceof Fault && /No such file or directory/.test(error.message))) throw error; // no table: no port
        }
        await flows.endTo(intent.address, signal);
      }),
  };
}

/** As commands of nft. */
export function publishElements(verb: 'add' | 'delete', { table, address, ports }: PublishIntent): string[] {
  const guest = plain('address', address);
  return ports.map((port) => {
    const [map, key] = keyOf(port);
    return `${verb} element ip ${plain('table', table)} ${map} { ${key} : ${guest} . ${number(port.guestPort)} }`;
  });
}

function keyOf({ protocol, hostPort, hostIp }: PublishedPort): readonly [map: string, key: string] {
  const key = `${plain('protocol', protocol)} . ${number(hostPort)}`;
  return hostIp === '' ? ['everywhere', key] : ['somewhere', `${plain('address', hostIp)} . ${key}`];
}

function number(port: number): string {
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return String(port);
  throw new Fault('invalid', `Port ${port} must be from 1 to 65535`, { reason: 'NetworkFailed' });
}

/**
 * The address of a packet is changed before it is routed: of one that comes in
 * (prerouting), and of one that the host itself sends (output).
 *
 * Two kinds of sender would get answers past the host, which could not put the
 * address back: the host from a loopback address, and a guest on the same
 * bridge. They are given the bridge's address (postrouting).
 *
 * The maps are declared, not made anew: what they hold stays, while the rules are replaced in the same transaction.
 */
export function publishingRules(intent: PublishingIntent): string {
  const table = `ip ${plain('table', intent.table)}`;
  const bridge = `"${plain('bridge', intent.bridge)}"`;
  const cidr = plain('CIDR', intent.cidr);
  const chains = {
    raw: 'type filter hook prerouting priority raw; policy accept;',
    prerouting: 'type nat hook prerouting priority dstnat; policy accept;',
    output: 'type nat hook output priority -100; policy accept;',
    postrouting: 'type nat hook postrouting priority srcnat; policy accept;',
  };
  const lead = `    dnat ip to ip daddr . meta l4proto . th dport map @somewhere
    fib daddr type local dnat ip to meta l4proto . th dport map @everywhere`;
  const declared = `table ${table} {
  map everywhere { type inet_proto . inet_service : ipv4_addr . inet_service; }
  map somewhere { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
${Object.entries(chains)
  .map(([name, head]) => `  chain ${name} { ${head} }`)
  .join('\n')}
}
${Object.keys(chains)
  .map((name) => `flush chain ${table} ${name}`)
  .join('\n')}
`;
  return `${declared}table ${table} {
  chain raw {
    # Loopback addresses are the host's own business, although the bridge routes answers to them.
    iifname ${bridge} ip daddr 127.0.0.0/8 drop
  }
  chain prerouting {
    # Who routes packets here from outside reaches neither what is published on loopback nor on the bridge's address.
    iifname != ${bridge} ip daddr { 127.0.0.0/8, ${cidr} } return
${lead}
  }
  chain output {
${lead}
  }
  chain postrouting {
    oifname ${bridge} ip saddr 127.0.0.0/8 masquerade
    oifname ${bridge} ip saddr ${cidr} ct status dnat masquerade
  }
}
`;
}

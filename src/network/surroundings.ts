import { type Cidr, overlap, parseBlock, parseCidr } from '../domain/ipv4.ts';
import type { Run } from '../ports/host.ts';
import type { Surroundings } from '../ports/network.ts';
import { guard, plain } from './failure.ts';
import type { Ip, Route } from './ip.ts';
import { parseListeners } from './listeners.ts';
import type { Nft } from './nft.ts';

/** Wider than this is a way out (0.0.0.0/0, or the two halves of it that VPNs set), not somebody's network. */
const WIDEST = 8;
/** It looks through the sockets of the namespace, and for names through all processes. */
const LISTENERS_MS = 60_000;

/** Looks at what of the host is in our way. It changes nothing. */
export function createSurroundings({ ip, nft, run }: { ip: Ip; nft: Nft; run: Run }): Surroundings {
  return {
    overlaps: ({ cidr, bridge }, signal) =>
      guard(`compare ${cidr} with the host's routes`, async () => {
        const wanted = parseCidr(cidr);
        if (!wanted) return `${JSON.stringify(cidr)} is not a network from /8 to /29, as 10.77.0.0/24 is`;
        const met = meeting(wanted, await ip.routes(signal), bridge);
        return met && `${cidr} overlaps the host's route ${met.text}: choose another network with --managed-network`;
      }),

    freeCidr: (bridge, signal) =>
      guard('choose a network', async () => {
        const routes = await ip.routes(signal);
        const candidates = Array.from({ length: 255 - 77 + 1 }, (_, i) => `10.${77 + i}.0.0/24`);
        const own = candidates.filter((cidr) => routes.some((r) => r.device === bridge && r.destination === cidr));
        return [...own, ...candidates].find((candidate) => {
          const cidr = parseCidr(candidate);
          return cidr && !meeting(cidr, routes, bridge);
        });
      }),

    ownAddresses: (signal) =>
      guard("list the host's addresses", async () =>
        (await ip.routes(signal)).filter(({ text }) => text.startsWith('local ')).map((r) => r.destination),
      ),

    listeners: (signal) =>
      guard('list who listens on ports', async () =>
        parseListeners(await run(['ss', '-Hlntup'], { signal, timeoutMs: LISTENERS_MS })),
      ),

    bridgeMissing: (bridge, signal) =>
      guard(`look for bridge ${bridge}`, async () => {
        const there = await ip.find(plain('bridge', bridge), signal);
        if (there?.kind === 'bridge') return undefined;
        return there
          ? `${bridge} is there and is no bridge (its kind is ${there.kind || 'unknown'}): name a bridge`
          : `There is no bridge ${bridge}: make it, for instance with ` +
              `\`ip link add ${bridge} type bridge\` and \`ip link set ${bridge} up\`, or name another`;
      }),

    parentUnfit: (parent, signal) =>
      guard(`look for interface ${parent}`, async () => {
        const there = await ip.find(plain('interface', parent), signal);
        if (!there)
          return `There is no interface ${parent}: give one of \`ip link\` with --parent-iface, or leave it out`;
        if (there.master !== '')
          return (
            `Interface ${parent} is a port of ${there.master}, and hands it all that comes: ` +
            `give ${there.master} with --bridge-name for TAP interfaces, or another interface with --parent-iface`
          );
        if (there.mac === '00:00:00:00:00:00' || there.mac === '')
          return `Interface ${parent} has no MAC address, as loopback and tunnels have none: give another with --parent-iface`;
        return undefined;
      }),

    forwardingBlocked: (bridge, signal) =>
      guard('look for other firewalls', async () => {
        const chains = await nft.chains(signal);
        const chain = chains.find(
          ({ family, hook, policy }) => ['ip', 'inet'].includes(family) && hook === 'forward' && policy === 'drop',
        );
        if (!chain) return undefined;
        const place = `${chain.family} ${chain.table}`;
        // Of iptables: Docker leaves a chain to the administrator, which its own rules come after.
        const docker = chains.some((c) => `${c.family} ${c.table}` === place && c.name === 'DOCKER-USER');
        const remedy = ['i', 'o'].map((side) =>
          place === 'ip filter' && chain.name === 'FORWARD'
            ? `\`iptables -I ${docker ? 'DOCKER-USER' : 'FORWARD'} -${side} ${bridge} -j ACCEPT\``
            : `\`nft insert rule ${place} ${chain.name} ${side}ifname ${bridge} accept\``,
        );
        return (
          `The firewall chain ${place} ${chain.name} drops what its rules do not let pass: ` +
          `where guests do not reach the outside, ${remedy.join(' and ')} let them`
        );
      }),
  };
}

function meeting(wanted: Cidr, routes: readonly Route[], bridge: string): Route | undefined {
  return routes.find((route) => {
    if (route.device === bridge) return false;
    const cidr = parseBlock(route.destination);
    return cidr !== undefined && cidr.prefix >= WIDEST && overlap(cidr, wanted);
  });
}

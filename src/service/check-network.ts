import { TimeLimit } from '../base/time-limit.ts';
import { Fault, type Violation } from '../domain/fault.ts';
import { contains, formatCidr, gatewayOf, parseBlock } from '../domain/ipv4.ts';
import { metadataBy } from '../domain/metadata-rules.ts';
import { bridgeName } from '../domain/names.ts';
import { collide, publishedText } from '../domain/published.ts';
import type { PublishedPort, Spec } from '../domain/spec.ts';
import { parseStatic, routerOf, wrongOn } from '../domain/static-address.ts';
import type { Listener } from '../ports/network.ts';
import type { Needs } from './needs.ts';

export type NetworkNeeds = Needs<'network' | 'bridge' | 'parent' | 'surroundings' | 'instance'>;

/** It asks the kernel for two lists. */
const ASK_MS = 20_000;

/**
 * What only the host can say of a spec's interfaces.
 * @throws Fault `refused` where the bridge of --bridge-name, or the parent of --parent-iface, is not there
 */
export async function checkNetwork(needs: NetworkNeeds, spec: Spec): Promise<readonly Violation[]> {
  const { interfaces } = spec;
  if (interfaces.length === 0) return [];
  const { bridge, parent, surroundings } = needs;
  using time = new TimeLimit(undefined, ASK_MS);
  const { signal } = time;
  if (
    !needs.network &&
    bridge !== undefined &&
    interfaces.some((nic) => nic.type === 'TAP' && nic.bridge === undefined)
  ) {
    const wrong = await surroundings.bridgeMissing(bridge, signal);
    if (wrong !== undefined)
      throw new Fault('refused', `Cannot create a microVM with a TAP interface: ${wrong}`, { reason: 'NetworkFailed' });
  }
  if (parent !== undefined && interfaces.some(({ type }) => type === 'MACVTAP')) {
    const wrong = await surroundings.parentUnfit(parent, signal);
    if (wrong !== undefined)
      throw new Fault('refused', `Cannot create a microVM with a MACVTAP interface: ${wrong}`, {
        reason: 'NetworkFailed',
      });
  }
  const wrong: Violation[] = [];
  for (const [i, nic] of interfaces.entries()) {
    const at = `interfaces[${i}]`;
    const field = (name: string, description: string | undefined): void =>
      void (description !== undefined && wrong.push({ field: `${at}.${name}`, description }));
    if (nic.type === 'MACVTAP') {
      if (parent === undefined)
        field(
          'type',
          'MACVTAP (also when left out) needs a parent: set type: TAP, or start flintlockd with --parent-iface IFACE',
        );
      continue;
    }
    const network = nic.bridge === undefined ? needs.network : undefined;
    const plugged = nic.bridge ?? (network ? undefined : bridge);
    if (!network && plugged === undefined) {
      field('type', 'TAP needs a network: start flintlockd with --managed-network CIDR or --bridge-name BRIDGE');
      continue;
    }
    if (nic.bridge !== undefined) field('overrides.bridge_name', await wrongBridge(needs, nic.bridge, signal));
    const fixed = nic.address === undefined ? undefined : parseStatic(nic.address);
    if (fixed && 'address' in fixed) {
      const needsPrefix = `${fixed.address} needs its prefix on bridge ${plugged}: write ${fixed.address}/24, for instance`;
      field('address', network ? wrongOn(network, fixed) : fixed.prefix === undefined ? needsPrefix : undefined);
      const router = routerOf(nic);
      if (network && router !== undefined && !contains(network, router))
        field(
          'address.gateway',
          `${router} is outside the network ${formatCidr(network)}: leave it out for the network's`,
        );
    }
    if (plugged === undefined) continue;
    if (nic.allowMetadata && metadataBy(spec).service)
      field(
        'allow_metadata_req',
        `metadata is served on the managed network only: on bridge ${plugged} leave it out, and metadata comes on a disk`,
      );
    nic.publishedPorts.forEach((_, k) => {
      field(
        `published_ports[${k}]`,
        `ports are published on the managed network only: bridge ${plugged} is not ours to route to`,
      );
    });
  }
  return [...wrong, ...(await wrongPorts(needs, interfaces, signal))];
}

async function wrongBridge(
  { instance, surroundings }: NetworkNeeds,
  bridge: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (bridge === bridgeName({ instance }))
    return `${bridge} is the managed network's own: leave bridge_name out to be plugged into it`;
  return surroundings.bridgeMissing(bridge, signal);
}

async function wrongPorts(
  { network, surroundings }: NetworkNeeds,
  interfaces: Spec['interfaces'],
  signal: AbortSignal,
): Promise<readonly Violation[]> {
  const published = interfaces.flatMap(({ publishedPorts }, i) =>
    publishedPorts.map((port, k) => ({ port, at: `interfaces[${i}].published_ports[${k}]` })),
  );
  if (published.length === 0 || !network) return [];
  const [listeners, own] = await Promise.all([surroundings.listeners(signal), surroundings.ownAddresses(signal)]);
  const gateway = gatewayOf(network);
  const isOwn = (address: string): boolean =>
    address === gateway ||
    own.some((text) => {
      const block = parseBlock(text);
      return block !== undefined && contains(block, address);
    });
  return published.flatMap(({ port, at }) => {
    const wrong: Violation[] = [];
    if (port.hostIp !== '' && !isOwn(port.hostIp))
      wrong.push({
        field: `${at}.host_ip`,
        description: `${port.hostIp} is no address of this host: see \`ip -4 address\`, or leave it out for all of them`,
      });
    const taken = takenBy(port, listeners, gateway);
    if (taken !== undefined) wrong.push({ field: `${at}.host_port`, description: taken });
    return wrong;
  });
}

function takenBy(port: PublishedPort, listeners: readonly Listener[], gateway: string): string | undefined {
  const like = (protocol: 'tcp' | 'udp', hostPort: number, hostIp: string) => ({ protocol, hostPort, hostIp });
  // Also before the network is made: it would take the guests' own DNS away.
  if ((['tcp', 'udp'] as const).some((protocol) => collide(port, like(protocol, 53, gateway))))
    return `${publishedText(port)} is the DNS server's of the managed network: publish another, or give another host_ip than ${gateway}`;
  const other = listeners.find((l) => collide(port, like(l.protocol, l.port, l.address)));
  if (!other) return undefined;
  const who = other.program === '' ? 'another program of this host' : other.program;
  return `${publishedText(port)} is taken by ${who}: publish another, or end what listens there (\`ss -lntup\` lists all)`;
}

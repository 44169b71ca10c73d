import { Fault, type Violation } from '../domain/fault.ts';
import { contains, gatewayOf, parseBlock } from '../domain/ipv4.ts';
import { collide, publishedText } from '../domain/published.ts';
import type { PublishedPort, Spec } from '../domain/spec.ts';
import { parseStatic, wrongOn } from '../domain/static-address.ts';
import type { Listener } from '../ports/network.ts';
import type { ServiceContext } from './context.ts';

/** It asks the kernel for two lists. */
const ASK_MS = 20_000;

/**
 * What only the host can say of a spec's interfaces.
 * @throws Fault `refused` where the bridge of --bridge-name is not there
 */
export async function checkNetwork(context: ServiceContext, { interfaces }: Spec): Promise<readonly Violation[]> {
  if (interfaces.length === 0) return [];
  const { network, bridge, surroundings } = context;
  if (!network && bridge === undefined)
    return interfaces.map((_, i) => ({
      field: `interfaces[${i}].type`,
      description: 'TAP needs a network: start flintlockd with --managed-network CIDR or --bridge-name BRIDGE',
    }));
  const signal = AbortSignal.timeout(ASK_MS);
  if (bridge !== undefined) {
    const wrong = await surroundings.bridgeMissing(bridge, signal);
    if (wrong !== undefined)
      throw new Fault('refused', `Cannot create a microVM with a TAP interface: ${wrong}`, { reason: 'NetworkFailed' });
  }
  const wrongAddresses = interfaces.flatMap(({ address }, i) => {
    const fixed = address === undefined ? undefined : parseStatic(address);
    if (!fixed || 'wrong' in fixed) return [];
    const description = network
      ? wrongOn(network, fixed)
      : fixed.prefix === undefined
        ? `${fixed.address} needs its prefix on bridge ${bridge}: write ${fixed.address}/24, for instance`
        : undefined;
    return description === undefined ? [] : [{ field: `interfaces[${i}].address`, description }];
  });
  const unserved = network
    ? []
    : interfaces.flatMap(({ allowMetadata }, i) => {
        const description = `metadata is served on the managed network only: on bridge ${bridge} leave it out, and metadata comes on a disk`;
        return allowMetadata ? [{ field: `interfaces[${i}].allow_metadata_req`, description }] : [];
      });
  const published = interfaces.flatMap(({ publishedPorts }, i) =>
    publishedPorts.map((port, k) => ({ port, at: `interfaces[${i}].published_ports[${k}]` })),
  );
  if (published.length === 0) return [...wrongAddresses, ...unserved];
  if (!network)
    return [
      ...wrongAddresses,
      ...unserved,
      ...published.map(({ at }) => ({
        field: at,
        description: `ports are published on the managed network only: bridge ${bridge} is not ours to route to`,
      })),
    ];

  const [listeners, own] = await Promise.all([surroundings.listeners(signal), surroundings.ownAddresses(signal)]);
  const gateway = gatewayOf(network);
  const isOwn = (address: string): boolean =>
    address === gateway ||
    own.some((text) => {
      const block = parseBlock(text);
      return block !== undefined && contains(block, address);
    });
  const wrongPorts = published.flatMap(({ port, at }) => {
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
  return [...wrongAddresses, ...wrongPorts];
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

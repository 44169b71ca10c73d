import { setImmediate as turn } from 'node:timers/promises';
import { Fault } from '../../src/domain/fault.ts';
import { type Cidr, parseCidr } from '../../src/domain/ipv4.ts';
import type { LedgerEntry } from '../../src/domain/ledger.ts';
import type {
  FirewallElements,
  HostInterface,
  HostRule,
  Macvtaps,
  MetadataPaths,
  Network,
  PortGuards,
  Publisher,
  Surroundings,
} from '../../src/ports/network.ts';
import type { NetworkProbe } from '../../src/ports/network-probe.ts';
import type { Flaw, Wholeness } from '../../src/ports/network-watch.ts';
import type { Caller, FakeProcess, FakeWorld } from './fake-world.ts';

/** The network of {@link FakeWorld}. */
export const FAKE_CIDR: Cidr = parseCidr('10.77.0.0/24') ?? { network: 0, prefix: 8 };

export function fakeNetwork(
  world: FakeWorld,
  caller: Caller,
): Network &
  PortGuards &
  Publisher &
  MetadataPaths &
  Macvtaps &
  Surroundings &
  FirewallElements &
  Wholeness &
  NetworkProbe {
  const signal = new AbortController().signal;
  const addInterface = (device: string, alias: string, kind: string, master: string): HostInterface => {
    const there = world.interfaces.get(device);
    if (there) return there;
    world.come(caller, 'interface', device);
    const made = { device, index: world.interfaces.size + 2, mac: '02:00:00:00:00:01', alias, kind, master };
    world.interfaces.set(device, made);
    return made;
  };
  const addTable = (family: string, table: string): void => {
    if (!world.tables.has(`${family} ${table}`)) world.come(caller, `${family} table`, table);
    world.tables.add(`${family} ${table}`);
  };
  const dhcpOf = (directory: string): FakeProcess | undefined =>
    [...world.processes.values()].find((p) => p.argv.includes(`--dhcp-hostsdir=${directory}/hosts`));
  return {
    addTap: ({ device, alias, bridge }, limited) =>
      world.act(caller, 'tap', limited, () => {
        const { index, mac } = addInterface(device, alias, 'tun', bridge);
        return { index, mac };
      }),
    removeTap: ({ device }, limited) =>
      world.act(caller, 'undo tap', limited, () => void world.interfaces.delete(device)),
    renewTap: async () => undefined,
    strayTap: async () => world.strays.shift(),
    fitMtus: async () => [],
    addLease: ({ directory, file }, limited) =>
      world.act(caller, 'lease', limited, () => {
        if (!world.paths.has(`${directory}/hosts/${file}`)) world.come(caller, 'lease', file);
        world.addPath(`${directory}/hosts/${file}`, 'file');
      }),
    removeLease: ({ directory, file }, limited) =>
      world.act(caller, 'undo lease', limited, () => world.removePath(`${directory}/hosts/${file}`)),
    addGuards: ({ table }, limited) => world.act(caller, 'guards', limited, () => addTable('bridge', table)),
    removeGuards: ({ table }, limited) =>
      world.act(caller, 'undo guards', limited, () => void world.tables.delete(`bridge ${table}`)),
    addGuard: ({ device }, limited) =>
      world.act(caller, 'guard', limited, () => {
        if (!world.guards.has(`guard of ${device}`)) world.come(caller, 'guard', device);
        world.guards.add(`guard of ${device}`);
      }),
    removeGuard: ({ device }, limited) =>
      world.act(caller, 'undo guard', limited, () => void world.guards.delete(`guard of ${device}`)),
    addPublishing: ({ table }, limited) => world.act(caller, 'publishing', limited, () => addTable('ip', table)),
    removePublishing: ({ table }, limited) =>
      world.act(caller, 'undo publishing', limited, () => void world.tables.delete(`ip ${table}`)),
    addPorts: ({ address, ports }, limited) =>
      world.act(caller, 'publish', limited, () => {
        for (const { hostPort } of ports) {
          if (!world.ports.has(`${hostPort} to ${address}`)) world.come(caller, 'port', String(hostPort));
          world.ports.add(`${hostPort} to ${address}`);
        }
      }),
    removePorts: ({ address, ports }, limited) =>
      world.act(caller, 'undo publish', limited, () => {
        for (const { hostPort } of ports) world.ports.delete(`${hostPort} to ${address}`);
      }),
    addMetadataPath: ({ table, routes }, limited) =>
      world.act(caller, 'metadata-path', limited, () => {
        for (const family of ['inet', 'bridge']) addTable(family, table);
        if (!world.rules.has(String(routes))) world.come(caller, 'rule', String(routes));
        world.rules.add(String(routes));
      }),
    removeMetadataPath: ({ table, routes }, limited) =>
      world.act(caller, 'undo metadata-path', limited, () => {
        for (const family of ['inet', 'bridge']) world.tables.delete(`${family} ${table}`);
        world.rules.delete(String(routes));
      }),
    addMetadataPort: ({ devices, port }, limited) =>
      world.act(caller, 'metadata', limited, () => {
        if (!world.ways.has(`${devices} to ${port}`)) world.come(caller, 'way', String(port));
        world.ways.add(`${devices} to ${port}`);
      }),
    removeMetadataPort: ({ devices, port }, limited) =>
      world.act(caller, 'undo metadata', limited, () => void world.ways.delete(`${devices} to ${port}`)),
    addMacvtapGuards: ({ table }, limited) =>
      world.act(caller, 'macvtap-guards', limited, () => addTable('netdev', table)),
    removeMacvtapGuards: ({ table }, limited) =>
      world.act(caller, 'undo macvtap-guards', limited, () => void world.tables.delete(`netdev ${table}`)),
    addMacvtap: ({ device, alias, parent }, limited) =>
      world.act(caller, 'macvtap', limited, () => {
        if (world.parentUnfit !== undefined) throw new Fault('tool', `Cannot find device "${parent}"`);
        const { index, mac } = addInterface(device, alias, 'macvtap', '');
        return { index, mac, node: `/dev/tap${index}` };
      }),
    removeMacvtap: ({ device }, limited) =>
      world.act(caller, 'undo macvtap', limited, () => void world.interfaces.delete(device)),
    addMacvtapPath: ({ table, device, alias, routes }, limited) =>
      world.act(caller, 'macvtap-path', limited, () => {
        addInterface(device, alias, 'macvlan', '');
        addTable('inet', table);
        if (!world.rules.has(String(routes))) world.come(caller, 'rule', String(routes));
        world.rules.add(String(routes));
      }),
    removeMacvtapPath: ({ table, device, routes }, limited) =>
      world.act(caller, 'undo macvtap-path', limited, () => {
        world.interfaces.delete(device);
        world.tables.delete(`inet ${table}`);
        world.rules.delete(String(routes));
      }),
    addMacvtapPort: ({ device, port }, limited) =>
      world.act(caller, 'macvtap-metadata', limited, () => {
        if (!world.ways.has(`${device} to ${port}`)) world.come(caller, 'way of macvtap', String(port));
        world.ways.add(`${device} to ${port}`);
      }),
    removeMacvtapPort: ({ device, port }, limited) =>
      world.act(caller, 'undo macvtap-metadata', limited, () => void world.ways.delete(`${device} to ${port}`)),
    async rules(): Promise<readonly HostRule[]> {
      await turn();
      return [...world.rules].map((routes) => ({ priority: 1, routes, text: `lookup ${routes}` }));
    },
    removeRules: (routes, limited) =>
      world.act(caller, `fix rule ${routes}`, limited, () => void world.rules.delete(String(routes))),
    async elements() {
      await turn();
      return [...world.guards, ...world.ports, ...world.ways].map((name) => ({ name, removal: name }));
    },
    elementsOf(step) {
      switch (step.kind) {
        case 'guard':
          return [`guard of ${step.intent.device}`];
        case 'publish':
          return step.intent.ports.map(({ hostPort }) => `${hostPort} to ${step.intent.address}`);
        case 'metadata':
          return [`${step.intent.devices} to ${step.intent.port}`];
        case 'macvtap-metadata':
          return [`${step.intent.device} to ${step.intent.port}`];
        case 'macvtap':
          return [];
        default:
          return step satisfies never;
      }
    },
    removeElement: ({ name }, limited) =>
      world.act(caller, `fix ${name}`, limited, () => {
        for (const set of [world.guards, world.ports, world.ways]) set.delete(name);
      }),
    addProbe: ({ device }, limited) =>
      world.act(caller, 'probe', limited, () => {
        if (!world.probes.has(device)) world.come(caller, 'probe', device);
        world.probes.add(device);
      }),
    removeProbe: ({ device }, limited) =>
      world.act(caller, 'undo probe', limited, () => void world.probes.delete(device)),
    tryWays: async () => world.waysFound,
    remember: async () => undefined,
    async flaws({ entries, isAsked }) {
      await turn();
      const there = new Set([...world.tables, ...world.guards, ...world.ports, ...world.ways]);
      for (const { device, master } of world.interfaces.values()) there.add(`${device} on ${master}`);
      for (const routes of world.rules) there.add(`rule ${routes}`);
      const flaws = entries().flatMap((entry): Flaw[] => {
        if (!entry.made || !isAsked(entry)) return [];
        return thingsOf(entry)
          .filter((name) => !there.has(name))
          .map((name) => ({
            ...{ thing: name, what: `${name} is gone` },
            ...(entry.owner.is === 'vm' && { owner: entry.owner.uid }),
          }));
      });
      return [...flaws, ...world.flaws];
    },
    async routeTables() {
      await turn();
      return [...world.rules];
    },
    overlaps: async () => world.overlap,
    freeCidr: async () => '10.77.0.0/24',
    forwardingBlocked: async () => undefined,
    ownAddresses: async () => ['127.0.0.0/8'],
    listeners: async () => [],
    bridgeMissing: async () => undefined,
    parentUnfit: async () => world.parentUnfit,
    addBridge: ({ bridge, alias }, limited) =>
      world.act(caller, 'bridge', limited, () => void addInterface(bridge, alias, 'bridge', '')),
    removeBridge: ({ bridge }, limited) =>
      world.act(caller, 'undo bridge', limited, () => void world.interfaces.delete(bridge)),
    addFirewall: ({ table }, limited) => world.act(caller, 'firewall', limited, () => addTable('inet', table)),
    removeFirewall: ({ table }, limited) =>
      world.act(caller, 'undo firewall', limited, () => void world.tables.delete(`inet ${table}`)),
    startDhcp: ({ directory }, limited) =>
      world.act(caller, 'dhcp', limited, () => {
        world.addPath(`${directory}/hosts`, 'directory');
        if (dhcpOf(directory)) return;
        world.come(caller, 'dhcp', directory);
        world.startProcess(['dnsmasq', `--dhcp-hostsdir=${directory}/hosts`]);
      }),
    stopDhcp: ({ directory }, limited) =>
      world.act(caller, 'undo dhcp', limited, () => {
        const process = dhcpOf(directory);
        if (process) world.processes.delete(process.identity.pid);
        world.removePath(directory);
      }),
    dhcpRuns: ({ directory }) =>
      world.act(caller, 'look at dhcp', signal, () => dhcpOf(directory) !== undefined && world.tables.size > 0),
    serverNews: async () => ({ troubles: [], resolvers: ['192.0.2.53'], isChanged: false }),
    forwarding: async () => world.forwards,
    setForwarding: (on) =>
      world.act(caller, on ? 'forwarding' : 'undo forwarding', signal, () => {
        world.forwards = on;
      }),
    taken: async () => world.leases,
    onTaken(_dhcp, changed) {
      world.leaseListeners.add(changed);
      return () => world.leaseListeners.delete(changed);
    },
    async findInterface(device) {
      return world.interfaces.get(device);
    },
    async interfaces() {
      await turn();
      return [...world.interfaces.values()];
    },
    async tables() {
      await turn();
      if (world.tablesFault) throw world.tablesFault;
      return [...world.tables];
    },
    removeInterface: (name, limited) =>
      world.act(caller, `fix interface ${name}`, limited, () => {
        world.interfaces.delete(name);
      }),
    removeTable: (name, limited) =>
      world.act(caller, `fix table ${name}`, limited, () => {
        world.tables.delete(name);
      }),
  };
}

/** What the world has of a thing that was made, by its names there. */
function thingsOf({ kind, intent }: LedgerEntry): readonly string[] {
  switch (kind) {
    case 'bridge':
      return [`${intent.bridge} on `];
    case 'firewall':
      return [`inet ${intent.table}`];
    case 'guards':
      return [`bridge ${intent.table}`];
    case 'publishing':
      return [`ip ${intent.table}`];
    case 'metadata-path':
      return [`inet ${intent.table}`, `bridge ${intent.table}`, `rule ${intent.routes}`];
    case 'macvtap-guards':
      return [`netdev ${intent.table}`];
    case 'macvtap-path':
      return [`inet ${intent.table}`, `${intent.device} on `, `rule ${intent.routes}`];
    case 'guard':
      return [`guard of ${intent.device}`];
    case 'tap':
      return [`${intent.device} on ${intent.bridge}`];
    case 'publish':
      return intent.ports.map(({ hostPort }) => `${hostPort} to ${intent.address}`);
    case 'metadata':
      return [`${intent.devices} to ${intent.port}`];
    case 'macvtap-metadata':
      return [`${intent.device} to ${intent.port}`];
    default:
      return [];
  }
}

import { Fault } from '../../domain/fault.ts';
import {
  aliasPrefix,
  bridgeName,
  cgroupName,
  interfacePrefix,
  macvtapRoutingTable,
  type Names,
  routingTable,
  tableName,
} from '../../domain/names.ts';
import { uidsIn } from '../../domain/uids-in.ts';
import type { Cgroups } from '../../ports/cgroups.ts';
import type { Files, Processes } from '../../ports/host.ts';
import type { FirewallElements, MetadataPaths, Network } from '../../ports/network.ts';
import type { Vmm } from '../../ports/vmm.ts';
import { orphanTables } from '../orphans.ts';
import { mountsAndLoops } from './mounts.ts';
import type { Thing } from './thing.ts';

export interface EnumerateDeps {
  readonly names: Names;
  readonly files: Files;
  readonly processes: Processes;
  readonly cgroups: Cgroups;
  readonly network: Network & MetadataPaths & FirewallElements;
  readonly vmms: readonly Vmm[];
  /** The uid of every microVM that is remembered. */
  uids(): readonly string[];
}

/** Everything that the daemon makes lies at most so deep: `vm/UID/disk`, `images/trees/DIGEST`, `network/hosts/FILE`. */
const DEPTH = 3;
const PATHS = ['file', 'directory', 'socket'] as const;

export interface Enumerated {
  readonly things: readonly Thing[];
  readonly unread: readonly Unread[];
}

/** A part of the host that could not be looked at: of these kinds nothing can be said. */
export interface Unread {
  readonly kinds: readonly Thing['kind'][];
  readonly why: string;
}

/**
 * What on the host is ours by its name, mark or place: see promise 2 of the design. The ledger is not looked at. A tool
 * that is missing or hangs hides its part of the host and no other.
 */
export async function enumerate(deps: EnumerateDeps, signal: AbortSignal): Promise<Enumerated> {
  const { names, files } = deps;
  const unread: Unread[] = [];
  const look = async (kinds: Unread['kinds'], list: Promise<Thing[]>): Promise<Thing[]> => {
    try {
      return await list;
    } catch (error) {
      if (signal.aborted || !(error instanceof Fault)) throw error;
      unread.push({ kinds, why: error.message });
      return [];
    }
  };
  const lists = await Promise.all([
    look(['process'], processes(deps)),
    look(['cgroup'], cgroups(deps)),
    look(['interface', 'bridge-port'], interfaces(deps, signal)),
    look(['firewall-table'], tables(deps, signal)),
    look(['firewall-element'], elements(deps, signal)),
    look(['routing-rule'], rules(deps, signal)),
    look(['routes'], routes(deps, signal)),
    look(['mount', 'loop-device'], mountsAndLoops(files, [names.stateDirectory, names.runDirectory])),
    look(PATHS, paths(files, names.stateDirectory, 'the state directory')),
    look(PATHS, paths(files, names.runDirectory, 'the run-time directory')),
  ]);
  return { things: lists.flat(), unread };
}

async function processes({ names, processes, vmms, uids }: EnumerateDeps): Promise<Thing[]> {
  const directories = [names.stateDirectory, names.runDirectory];
  const known = new Set(uids());
  const isMarked = (argv: readonly string[]): boolean =>
    argv
      .slice(1)
      .some(
        (word) =>
          directories.some((directory) => word.includes(directory)) || uidsIn(word).some((uid) => known.has(uid)),
      );
  const found = await processes.find(isMarked);
  return found.flatMap((p): Thing[] => {
    const isVmm = vmms.some((vmm) => vmm.isProgram(p.argv, p.exe));
    const isDhcp = /(^|\/)dnsmasq$/.test(p.argv[0] ?? '');
    if (!isVmm && !isDhcp) return [];
    const detail = `${p.argv[0]} with arguments that name us`;
    const { pid, startTime, bootId, argv } = p;
    return [{ kind: 'process', name: String(pid), detail, identity: { pid, startTime, bootId }, argv }];
  });
}

async function cgroups({ cgroups, names }: EnumerateDeps): Promise<Thing[]> {
  const detail = `in a cgroup ${cgroupName(names)}, named after this instance`;
  return (await cgroups.list()).map(({ parent, directory }) => ({ kind: 'cgroup', name: directory, parent, detail }));
}

async function interfaces({ names, network }: EnumerateDeps, signal: AbortSignal): Promise<Thing[]> {
  const bridge = bridgeName(names);
  return (await network.interfaces(signal)).flatMap(({ device, alias, kind, master }): Thing[] => {
    const byName = device.startsWith(interfacePrefix(names));
    const byMark = alias.startsWith(aliasPrefix(names));
    const isOurs = byName || byMark;
    const why = byMark ? `marked "${alias}"` : `named with our prefix ${interfacePrefix(names)}`;
    const port = isOurs ? 'of ours' : 'on our bridge; it is no interface of ours';
    return [
      ...(isOurs ? [{ kind: 'interface', name: device, detail: `${kind || 'interface'} ${why}` } as const] : []),
      ...(master !== '' && (isOurs || master === bridge)
        ? [{ kind: 'bridge-port', name: `${device} on ${master}`, detail: `port ${port}`, device } as const]
        : []),
    ];
  });
}

async function tables({ names, network }: EnumerateDeps, signal: AbortSignal): Promise<Thing[]> {
  const orphans = await orphanTables(network, names, signal);
  return [
    ...(await network.tables(signal))
      .filter((table) => table.split(' ').some((word) => word.startsWith(tableName(names))))
      .map((name): Thing => ({ kind: 'firewall-table', name, detail: 'named after this instance' })),
    ...orphans.map(
      ({ table, bridge }): Thing => ({
        ...{ kind: 'firewall-table', name: table },
        detail: `of an instance that is gone, with its bridge ${bridge}: it may drop what guests are sent`,
      }),
    ),
  ];
}

async function elements({ names, network }: EnumerateDeps, signal: AbortSignal): Promise<Thing[]> {
  const isOurs = (table: string): boolean => table.startsWith(tableName(names));
  const detail = 'in a table named after this instance';
  return (await network.elements(isOurs, signal)).map((element) => ({
    ...{ kind: 'firewall-element', name: element.name, detail, element },
  }));
}

async function routes({ names, network }: EnumerateDeps, signal: AbortSignal): Promise<Thing[]> {
  const tables = await network.routeTables(signal);
  return [routingTable(names), macvtapRoutingTable(names)]
    .filter((routes) => tables.includes(String(routes)))
    .map((routes) => ({
      ...{ kind: 'routes', name: `in table ${routes}`, detail: 'in the table numbered for this instance', routes },
    }));
}

async function rules({ names, network }: EnumerateDeps, signal: AbortSignal): Promise<Thing[]> {
  const all = await network.rules(signal);
  return [routingTable(names), macvtapRoutingTable(names)].flatMap((routes): Thing[] => {
    const ours = all.filter((rule) => rule.routes === String(routes));
    if (ours.length === 0) return [];
    const detail = `to the table numbered for this instance: ${ours.map((rule) => rule.text).join('; ')}`;
    return [{ kind: 'routing-rule', name: `to table ${routes}`, detail, routes }];
  });
}

async function paths(files: Files, root: string, where: string): Promise<Thing[]> {
  const things: Thing[] = [];
  const walk = async (directory: string, depth: number): Promise<void> => {
    for (const name of await files.list(directory)) {
      const path = `${directory}/${name}`;
      const info = await files.stat(path);
      if (!info) continue; // gone meanwhile
      const kind = info.kind === 'directory' ? 'directory' : info.kind === 'socket' ? 'socket' : 'file';
      things.push({ kind, name: path, detail: `below ${where}` });
      if (info.kind === 'directory' && depth < DEPTH) await walk(path, depth + 1);
    }
  };
  await walk(root, 1);
  return things;
}

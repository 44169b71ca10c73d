import type { LedgerEntry } from '../../domain/ledger.ts';
import {
  databasePath,
  imagesDirectory,
  lockPath,
  type Names,
  networkDirectory,
  socketPath,
  vmRunRoot,
  vmStateRoot,
} from '../../domain/names.ts';
import type {
  BridgeIntent,
  DhcpIntent,
  FirewallElements,
  FirewallIntent,
  GuardIntent,
  GuardsIntent,
  LeaseIntent,
  MacvtapGuardsIntent,
  MacvtapIntent,
  MacvtapPathIntent,
  MacvtapPortIntent,
  MetadataPathIntent,
  MetadataPortIntent,
  PublishIntent,
  PublishingIntent,
  TapIntent,
} from '../../ports/network.ts';
import type { ProbeIntent } from '../../ports/network-probe.ts';
import type { Vmm } from '../../ports/vmm.ts';
import type { StepResults } from '../../steps/facts.ts';
import type { VmmIntent } from '../../steps/vmm.ts';
import type { Expected } from './thing.ts';

export interface Expectation {
  /** What each entry of the ledger names. */
  readonly named: readonly Expected[];
  /** Ours without an entry: the database, the lock, the sockets, and the directories that hold the rest. */
  readonly fixed: ReadonlySet<string>;
  /** Whatever path begins with one of these is part of what was named. */
  readonly within: readonly string[];
}

/** What the ledger says is on the host. */
export function expect(
  entries: readonly LedgerEntry[],
  names: Names,
  vmms: readonly Vmm[],
  sockets: readonly string[],
  firewall: Pick<FirewallElements, 'elementsOf'>,
): Expectation {
  const named: Expected[] = [];
  const within: string[] = [];
  const fixed = new Set([
    ...['', '-wal', '-shm', '-journal'].flatMap((end) => [databasePath(names) + end, lockPath(names) + end]),
    ...[vmStateRoot(names), vmRunRoot(names), imagesDirectory(names), networkDirectory(names)],
    ...['trees', 'golden', 'kernels', 'scratch'].map((name) => `${imagesDirectory(names)}/${name}`),
    socketPath(names),
    ...sockets,
  ]);
  for (const entry of entries) {
    const { owner, made, kind: step } = entry;
    const add = (kind: Expected['kind'], name: string, isSure = made): void =>
      void named.push({ kind, name, owner, step, made: isSure });
    const elements = (of: Parameters<FirewallElements['elementsOf']>[0]): void => {
      for (const name of firewall.elementsOf(of)) add('firewall-element', name);
    };
    switch (step) {
      case 'directory': {
        const { state, run } = entry.intent as { state: string; run: string };
        add('directory', state);
        add('directory', run);
        // The VMM's files come and go with it: they may be there as long as the directories are.
        for (const vmm of vmms)
          for (const path of vmm.paths({ stateDirectory: state, runDirectory: run })) add('file', path, false);
        break;
      }
      case 'volume': {
        const { path, readOnly } = entry.intent as { path: string; readOnly: boolean };
        if (!readOnly) add('file', path);
        if (!made) add('file', `${path}.partial`, false);
        break;
      }
      case 'cidata': {
        const { path } = entry.intent as { path: string };
        add('file', path);
        if (made) break;
        add('directory', `${path}.files`, false);
        within.push(`${path}.files/`);
        break;
      }
      case 'lease': {
        const { directory, file, isStatic } = entry.intent as unknown as LeaseIntent;
        add('file', `${directory}/hosts/${file}`);
        // Whether it is whole is looked at with the network; of a name that the server would misread there is none.
        if (isStatic) add('file', `${directory}/names/${file}`, false);
        break;
      }
      case 'tap': {
        const { device, bridge } = entry.intent as unknown as TapIntent;
        add('interface', device);
        add('bridge-port', `${device} on ${bridge}`);
        break;
      }
      case 'macvtap': {
        const { device, node } = entry.intent as unknown as MacvtapIntent;
        add('interface', device);
        add('file', node, false); // where the host made none
        elements({ kind: 'macvtap', intent: entry.intent as unknown as MacvtapIntent });
        break;
      }
      case 'vmm': {
        const { config, cgroups = [] } = entry.intent as unknown as VmmIntent;
        for (const { directory } of cgroups) add('cgroup', directory);
        const process = made ? (entry.result as unknown as StepResults['vmm']).process : undefined;
        add('process', process ? String(process.pid) : `of ${config.uid}`);
        break;
      }
      case 'bridge':
        add('interface', (entry.intent as unknown as BridgeIntent).bridge);
        break;
      case 'firewall':
        add('firewall-table', `inet ${(entry.intent as unknown as FirewallIntent).table}`);
        break;
      case 'guards':
        add('firewall-table', `bridge ${(entry.intent as unknown as GuardsIntent).table}`);
        break;
      case 'publishing':
        add('firewall-table', `ip ${(entry.intent as unknown as PublishingIntent).table}`);
        break;
      case 'metadata-path': {
        const { table, routes } = entry.intent as unknown as MetadataPathIntent;
        for (const family of ['inet', 'bridge']) add('firewall-table', `${family} ${table}`);
        add('routing-rule', `to table ${routes}`);
        add('routes', `in table ${routes}`);
        break;
      }
      case 'macvtap-guards':
        add('firewall-table', `netdev ${(entry.intent as unknown as MacvtapGuardsIntent).table}`);
        break;
      case 'macvtap-path': {
        const { table, device, routes } = entry.intent as unknown as MacvtapPathIntent;
        add('interface', device);
        add('firewall-table', `inet ${table}`);
        add('routing-rule', `to table ${routes}`);
        add('routes', `in table ${routes}`);
        break;
      }
      case 'dhcp': {
        const { directory } = entry.intent as unknown as DhcpIntent;
        add('directory', directory);
        for (const name of ['hosts', 'names']) fixed.add(`${directory}/${name}`);
        within.push(`${directory}/log/`);
        for (const name of ['leases', 'log', 'resolv.conf', 'ways.json']) add('file', `${directory}/${name}`, false);
        within.push(`${directory}/dnsmasq-`); // the server's pid file, by the bridge's index
        break;
      }
      case 'probe': {
        const { device, bridge, table, lease, guard, metadata, publish } = entry.intent as unknown as ProbeIntent;
        // Whether it is whole is looked at all the time, and mended: see `host-network.ts`.
        add('file', `${lease.directory}/hosts/${lease.file}`, false);
        const parts = [
          { kind: 'guard', intent: guard },
          { kind: 'metadata', intent: metadata },
          { kind: 'publish', intent: publish },
        ] as const;
        for (const name of parts.flatMap((part) => firewall.elementsOf(part))) add('firewall-element', name, false);
        // There only while it is at work.
        add('interface', device, false);
        add('bridge-port', `${device} on ${bridge}`, false);
        for (const family of ['inet', 'bridge']) add('firewall-table', `${family} ${table}`, false);
        break;
      }
      case 'image-tree':
      case 'golden':
      case 'fitted-kernel': {
        const { paths } = entry.intent as { paths: readonly string[] };
        paths.forEach((path, i) => {
          add('file', path, made && i === 0);
          within.push(`${path}/`);
        });
        break;
      }
      case 'guard':
        elements({ kind: step, intent: entry.intent as unknown as GuardIntent });
        break;
      case 'publish':
        elements({ kind: step, intent: entry.intent as unknown as PublishIntent });
        break;
      case 'metadata': // and a socket of the daemon's
        elements({ kind: step, intent: entry.intent as unknown as MetadataPortIntent });
        break;
      case 'macvtap-metadata':
        elements({ kind: step, intent: entry.intent as unknown as MacvtapPortIntent });
        break;
      case 'image': // a hold: nothing of its own on the host
      case 'forwarding': // a setting, not a thing
        break;
      default:
        step satisfies never;
    }
  }
  return { named, fixed, within };
}

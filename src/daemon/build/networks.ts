import { randomBytes } from 'node:crypto';
import type { Cidr } from '../../domain/ipv4.ts';
import type { Uid } from '../../domain/microvm.ts';
import { tableName } from '../../domain/names.ts';
import { Bridges } from '../../engine/bridges.ts';
import { HostNetwork } from '../../engine/host-network.ts';
import { NetworkHealth } from '../../engine/network-health.ts';
import { ParentDevice } from '../../engine/parent-device.ts';
import { Ways } from '../../engine/ways.ts';
import { clock } from '../../host/clock.ts';
import { files } from '../../host/files.ts';
import { follow } from '../../host/follow.ts';
import { createSeeds } from '../../metadata/seeds.ts';
import { createMetadataServer } from '../../metadata/server.ts';
import { createTokens } from '../../metadata/tokens.ts';
import { KernelNews } from '../../network/news.ts';
import type { Store } from '../../ports/store.ts';
import { nicsOf } from '../../steps/managed.ts';
import { requireParent } from '../managed-cidr.ts';
import type { Parts } from './parts.ts';

/** The networks that guests are plugged into, who looks after each, and the metadata service on them. */
export async function buildNetworks({ config, opened, log, metrics, acts }: Parts, cidr: Cidr | undefined) {
  const { names, store, ledger, network } = opened;
  const { patience } = config;
  const news = new KernelNews({ follow, clock, log, tables: tableName(names) });
  const health = new NetworkHealth({ store, clock });
  const watched = { names, ledger, network, news, health, clock, log, acts, patience };
  const managed = cidr && new HostNetwork({ ...watched, cidr, store });
  const bridges = new Bridges(watched);
  const bridge = config['bridge-name'] === '' ? undefined : config['bridge-name'];
  const attached = bridge === undefined ? undefined : bridges.at(bridge);
  const metadata = createMetadataServer({
    seed: createSeeds((uid) => {
      const vm = store.get(uid as Uid);
      return vm && vm.goneAt === undefined
        ? { vm, nics: nicsOf({ managed }, vm), metadata: () => store.metadataOf(vm) }
        : undefined;
    }),
    tokens: createTokens(tokenKey(store), clock),
    clock,
    log,
  });
  const everyMs = config['network-probe-period'];
  const ways = cidr && everyMs > 0 ? new Ways({ ...watched, everyMs, meter: metrics, metadata, files }) : undefined;
  const parentName = config['parent-iface'];
  await requireParent(parentName, network, patience);
  const parent = parentName === '' ? undefined : new ParentDevice({ ...watched, parent: parentName });
  return {
    ...{ news, health, managed, bridge, attached, metadata, parent },
    bridgeAt: (name: string) => bridges.at(name),
    start(): void {
      news.start();
      managed?.start();
      ways?.start();
      bridges.start(managed?.bridge);
      parent?.start();
    },
    release(): void {
      news.release();
      ways?.release();
      managed?.release();
      bridges.release();
      parent?.release();
    },
  };
}

export type BuiltNetworks = Awaited<ReturnType<typeof buildNetworks>>;

/** The seal of the metadata service's tokens: kept, so that a guest's are good for the next daemon too. */
function tokenKey(store: Store): Uint8Array {
  const key = store.recall('metadata-token-key') ?? randomBytes(32).toString('base64');
  store.remember('metadata-token-key', key);
  return Buffer.from(key, 'base64');
}

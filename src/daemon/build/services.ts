import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { createUlids } from '../../base/ulid.ts';
import type { Cidr } from '../../domain/ipv4.ts';
import type { Uid } from '../../domain/microvm.ts';
import { clock } from '../../host/clock.ts';
import { files } from '../../host/files.ts';
import { createServices } from '../../service/create-services.ts';
import type {
  Agents,
  Consoles,
  DaemonFacts,
  Engine,
  Host,
  Networks,
  Records,
  Storage,
  Vmms,
} from '../../service/needs.ts';
import type { Services } from '../../service/services.ts';
import { planText } from '../../steps/plan.ts';
import { limitSettings } from '../capacity.ts';
import { readOthersUsers } from '../vmm-users.ts';
import type { BuiltEngine } from './engine.ts';
import type { BuiltNetworks } from './networks.ts';
import type { Parts } from './parts.ts';
import type { BuiltStorage } from './storage.ts';
import type { BuiltVmms } from './vmms.ts';

export interface ServicesNeed {
  readonly version: string;
  readonly cidr: Cidr | undefined;
  readonly storage: BuiltStorage;
  readonly vmms: BuiltVmms;
  readonly tools: Host['tools'];
  readonly networks: BuiltNetworks;
  readonly engine: BuiltEngine;
  readonly audit: Engine['audit'];
  isReconciling(): boolean;
}

/** The verbs, made of what the other builders have built. */
export function buildServices({ config, opened }: Parts, built: ServicesNeed): Services {
  const { names, store, ledger, database, network } = opened;
  const { version, cidr, storage, vmms, tools, networks, engine, audit, isReconciling } = built;
  const daemon: DaemonFacts = { version, ...names, isReconciling };
  const newUid = createUlids(clock.now, clock.random);
  const records: Records = {
    ...{ store, transactions: database, ledger, clock },
    newUid: () => newUid() as Uid,
    digest: (text) => createHash('sha256').update(text).digest('base64'),
  };
  const doing: Engine = {
    ...{ wake: engine.wake, plan: planText, audit },
    intend: (vm) => engine.runner.intend(vm),
    progress: (uid) => engine.progress.of(uid),
    running: (uid) => engine.guests.of(uid),
    onChange(listener) {
      const stops = [store.onEvent(listener), engine.guests.onAttach(listener)];
      return () => {
        for (const stop of stops) stop();
      };
    },
  };
  const stored: Storage = { ...storage, pullPolicy: config.pull, imageCacheMax: config['image-cache-max'] };
  const plugged: Networks = {
    ...{ network: cidr, bridge: networks.bridge, parent: networks.parent?.parent, surroundings: network },
    ownNames: new Set([hostname().toLowerCase().split('.')[0] ?? '', names.instance]),
  };
  const machines: Vmms = {
    ...{ vmms: vmms.vmms, defaultVmms: vmms.defaultVmms, vmmUsers: vmms.vmmUsers },
    othersUsers: readOthersUsers,
  };
  const consoles: Consoles = {
    ...{ files, consolePath: vmms.consolePath },
    joinConsole: (uid) => vmms.consoles.join(uid),
  };
  const agents: Agents = {
    agentOf: (uid) => engine.agents.of(uid),
    agentSoon: (uid, signal) => engine.agents.soon(uid, signal),
  };
  const host: Host = { tools, capacity: vmms.capacity, limits: limitSettings(config), patience: config.patience };
  return createServices({
    ...{ ...daemon, ...records, ...doing, ...stored },
    ...{ ...plugged, ...machines, ...consoles, ...agents, ...host },
  });
}

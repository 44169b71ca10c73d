import { randomBytes } from 'node:crypto';
import { createMeetAgent } from '../../agent/agent.ts';
import type { CurrentCaller } from '../../api/current-caller.ts';
import { asImageSays } from '../../domain/as-image-says.ts';
import type { Uid } from '../../domain/microvm.ts';
import { GuestAgents } from '../../engine/guest-agents.ts';
import { GuestHealth } from '../../engine/guest-health.ts';
import { GuestLives } from '../../engine/guest-lives.ts';
import { GuestReports } from '../../engine/guest-reports.ts';
import { GuestSockets } from '../../engine/guest-sockets.ts';
import { WatchedGuests } from '../../engine/guests.ts';
import { MetadataPorts } from '../../engine/metadata-ports.ts';
import { ProgressBoard } from '../../engine/progress.ts';
import { createReconciler } from '../../engine/reconciler.ts';
import { Scheduler } from '../../engine/scheduler.ts';
import { StepRunner } from '../../engine/step-runner.ts';
import { TellMetadata } from '../../engine/tell-metadata.ts';
import { agentSockets } from '../../host/agent-socket.ts';
import { clock } from '../../host/clock.ts';
import { files } from '../../host/files.ts';
import { createCidataDisks } from '../../metadata/cidata.ts';
import { createToldMetadata } from '../../metadata/mmds.ts';
import type { Images } from '../../ports/images.ts';
import type { VmmEnd } from '../../ports/vmm.ts';
import type { Volumes } from '../../ports/volumes.ts';
import { nicsOf } from '../../steps/managed.ts';
import type { BuiltNetworks } from './networks.ts';
import type { Parts } from './parts.ts';
import type { BuiltVmms } from './vmms.ts';

export interface EngineNeeds {
  readonly images: Images;
  readonly volumes: Volumes;
  readonly vmms: BuiltVmms;
  readonly networks: BuiltNetworks;
  readonly caller: CurrentCaller;
  /** Of the host's boot. */
  readonly bootId: string;
  /** Whose members may use the sockets of agents; absent: root's alone. */
  readonly socketGid: number | undefined;
}

const HALTED: VmmEnd = {
  reason: 'GuestShutdown',
  message: 'The guest shut down: its agent said so, and its kernel does not answer any more',
};

/** What makes the host as the records say, microVM by microVM. */
export function buildEngine(
  { config, opened, log, metrics, acts, run }: Parts,
  { images, volumes, vmms, networks, caller, bootId, socketGid }: EngineNeeds,
) {
  const { names, store, ledger, database, network } = opened;
  const { consolePath, consoleTail, cgroups, vmmOf } = vmms;
  const maximumRetry = config['maximum-retry'];
  const progress = new ProgressBoard();
  const wake = {
    // The work goes on for as long as it takes, for whatever was asked later too: it is no call's.
    wake: (uid: Uid): void => caller.outside(() => scheduler.wake(uid)),
    interrupt: (uid: Uid): void => caller.outside(() => scheduler.interrupt(uid)),
  };
  const reports = new GuestReports({ store, transactions: database, files, clock, log, consolePath });
  const lives = new GuestLives({ store, transactions: database, clock, log, patience: config.patience });
  const agents = new GuestAgents({
    ...{ store, clock, log, openWay: vmms.openAgent, patience: config.patience },
    meet: createMeetAgent({ clock, randomBytes }),
    onHalt: (uid) => guests.recordEnd(uid, HALTED),
  });
  const sockets = new GuestSockets({
    ...{ names, store, files, log, serve: agentSockets(socketGid) },
    agentOf: (uid) => agents.of(uid),
  });
  const health = new GuestHealth({
    ...{ store, clock, log, agentOf: (uid) => agents.of(uid) },
    begin: (vm, start) => asImageSays((digest) => images.says(digest), store.get(vm.uid) ?? vm, start),
  });
  const guests = new WatchedGuests({
    ...{ store, clock, log, wake, reports, lives, agents, health, sockets },
    ...{ consoleTail, maximumRetry, meter: metrics },
  });
  const { managed, attached, bridgeAt, parent, metadata } = networks;
  const cidata = createCidataDisks({ run, files, store });
  const toldMetadata = createToldMetadata(store);
  const ports = {
    ...{ names, files, cgroups, images, volumes, network, guests, metadata, cidata, toldMetadata },
    ...{ managed, attached, bridgeAt, parent },
    vmm: vmmOf,
  };
  const runner = new StepRunner({ store, ledger, transactions: database, clock, progress, ports, acts });
  const metadataPorts = new MetadataPorts({ store, ledger, runner, log });
  const tellMetadata = new TellMetadata({
    ...{ guests, metadata: toldMetadata, clock, log },
    nicsOf: (vm) => nicsOf({ managed }, vm),
  });
  const reconciler = createReconciler({
    ...{ store, ledger, runner, guests, agents, metadataPorts, tellMetadata, clock, log },
    ...{ consoleTail, maximumRetry, bootId, patience: config.patience },
    vmm: vmmOf,
  });
  const scheduler = new Scheduler(metrics.look(reconciler), { clock, log });
  return { progress, wake, guests, agents, sockets, runner, metadataPorts, scheduler };
}

export type BuiltEngine = ReturnType<typeof buildEngine>;

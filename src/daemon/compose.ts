import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { createApi } from '../api/api.ts';
import { CurrentCaller } from '../api/current-caller.ts';
import type { Endpoint } from '../api/endpoint.ts';
import type { ListenOptions } from '../api/listen.ts';
import { withRequest } from '../api/request-id.ts';
import { createUlids } from '../base/ulid.ts';
import { limitsOf } from '../domain/admission.ts';
import { Fault } from '../domain/fault.ts';
import type { Uid } from '../domain/microvm.ts';
import { audit } from '../engine/audit/audit.ts';
import { auditPeriodically } from '../engine/audit/periodic.ts';
import { keepConsoles } from '../engine/console-keeper.ts';
import { hearServer } from '../engine/hear-server.ts';
import { limitImages } from '../engine/image-limit.ts';
import { keepMtus } from '../engine/keep-mtus.ts';
import { noticeNewBoot } from '../engine/new-boot.ts';
import { purgePeriodically } from '../engine/purge.ts';
import { recover } from '../engine/recovery.ts';
import { watchShares } from '../engine/watch-shares.ts';
import { clock } from '../host/clock.ts';
import { files } from '../host/files.ts';
import { createProcesses } from '../host/processes.ts';
import { patientRun } from '../host/run.ts';
import type { Log } from '../ports/log.ts';
import { cordonOf } from '../service/cordon.ts';
import { createServices } from '../service/create-services.ts';
import { planText } from '../steps/plan.ts';
import { buildEngine } from './build/engine.ts';
import { buildNetworks } from './build/networks.ts';
import type { Parts } from './build/parts.ts';
import { buildStorage } from './build/storage.ts';
import { buildTools } from './build/tools.ts';
import { buildVmms } from './build/vmms.ts';
import { demoKernelOf } from './demo-kernel.ts';
import { managedCidr } from './managed-cidr.ts';
import { Metrics } from './metrics/metrics.ts';
import type { Opened } from './open.ts';
import type { Config } from './settings.ts';
import { tlsOf } from './tls-files.ts';
import { tokensFor } from './tokens.ts';
import { readOthersUsers } from './vmm-users.ts';

export interface Daemon {
  /** Serves one endpoint more. @returns where it listens */
  listen(surface: 'grpc' | 'http', endpoint: Endpoint, options?: ListenOptions): Promise<Endpoint>;
  /** Looks at the certificate and the tokens now; it is done by itself when their files change. */
  reload(): void;
  /** Takes over what an earlier daemon left. Called when the API listens. */
  recover(): Promise<void>;
  /** Lets go of everything: guests, network and disks stay as they are. */
  stop(): Promise<void>;
}

/** Where adapters meet ports: the one place that knows them all. */
export async function compose(config: Config, version: string, opened: Opened, plainLog: Log): Promise<Daemon> {
  const caller = new CurrentCaller();
  const log = withRequest(plainLog, caller.get);
  const { names, store, ledger, database, network } = opened;
  const { patience } = config;
  const metrics = new Metrics({ version, clock, log });
  const processes = createProcesses();
  const stopping = new AbortController();
  const parts: Parts = {
    ...{ config, opened, log, metrics, processes },
    acts: metrics.acts(opened.acts),
    run: patientRun(patience),
    ending: stopping.signal,
  };
  const sockets: string[] = [];
  const bootId = await processes.bootId();
  noticeNewBoot({ store, ledger, transactions: database, clock, log }, bootId);
  const cidr = await managedCidr(config, opened, log);
  const tls = tlsOf(config, { log, clock });
  const tokens = tokensFor(config, { log, clock });

  const { images, volumes } = await buildStorage(parts);
  const vmms = await buildVmms(parts);
  const tools = buildTools(parts, cidr);
  const networks = await buildNetworks(parts, cidr);
  const engine = buildEngine(parts, { images, volumes, vmms, networks, caller, bootId });
  const { guests, scheduler, wake } = engine;
  const { consolePath, capacity } = vmms;
  const { managed, parent, metadata } = networks;

  const auditDeps = {
    ...{ names, files, processes, network, ledger, log },
    ...{ vmms: vmms.vmms, cgroups: vmms.cgroups },
    uids: () => store.uids(),
    sockets: () => sockets,
  };
  const auditHost = metrics.audit((options: { readonly fix: boolean }, signal: AbortSignal) =>
    audit(auditDeps, options, signal),
  );
  const limits = {
    maxMemory: config['max-memory'],
    maxVcpu: config['max-vcpu'],
    maxDisk: config['max-disk'],
    maxMicrovms: config['max-microvms'],
  };
  for (const note of (await capacity()).notes) log.warn('microVMs can have less than this host has', { note });

  let isReconciling = true;
  const newUid = createUlids(clock.now, clock.random);
  const services = createServices({
    version,
    instance: names.instance,
    stateDirectory: names.stateDirectory,
    runDirectory: names.runDirectory,
    store,
    transactions: database,
    clock,
    wake,
    ledger,
    images,
    pullPolicy: config.pull,
    imageCacheMax: config['image-cache-max'],
    volumes,
    files,
    ownNames: new Set([hostname().toLowerCase().split('.')[0] ?? '', names.instance]),
    network: cidr,
    bridge: networks.bridge,
    parent: parent?.parent,
    surroundings: network,
    vmmUsers: vmms.vmmUsers,
    othersUsers: readOthersUsers,
    vmms: vmms.vmms,
    tools,
    defaultVmms: vmms.defaultVmms,
    limits,
    newUid: () => newUid() as Uid,
    intend: (vm) => engine.runner.intend(vm),
    plan: planText,
    digest: (text) => createHash('sha256').update(text).digest('base64'),
    capacity,
    progress: (uid) => engine.progress.of(uid),
    running: (uid) => guests.of(uid),
    isReconciling: () => isReconciling,
    consolePath,
    joinConsole: (uid) => vmms.consoles.join(uid),
    demoKernel: await demoKernelOf(config, images),
    onChange(listener) {
      const stops = [store.onEvent(listener), guests.onAttach(listener)];
      return () => {
        for (const stop of stops) stop();
      };
    },
    audit: auditHost,
  });
  const api = createApi({
    services,
    log,
    clock,
    ...(tls && { tls }),
    ...(tokens && { tokens: tokens.current }),
    metrics: () => metrics.text(),
    calls: metrics.call,
    caller,
    patience,
    ready: () => (isReconciling ? 'reconciling: the microVMs are being looked at after the start' : undefined),
  });

  metrics.watch({
    store,
    providers: vmms.vmms.map(({ name }) => name),
    defaultProvider: vmms.vmmOf('').name,
    capacity,
    limits: (host) => limitsOf(limits, host),
    images,
    imageCacheMax: config['image-cache-max'],
    queue: () => ({ ...scheduler.depth(), waiting: engine.runner.waiting() }),
    commits: () => database.commits,
    isReconciling: () => isReconciling,
    isCordoned: () => cordonOf(store) !== undefined,
  });
  const cordon = cordonOf(store);
  if (cordon) log.warn('this host is cordoned: creates are refused', { ...cordon });

  let stopAudits = async (): Promise<void> => undefined;
  const purge = purgePeriodically({ store, clock, log, retainMs: config['retain-deleted'] });
  const stopLooks = [
    keepConsoles({
      files,
      clock,
      log,
      running: () => guests.all(),
      consolePath: (uid) => {
        const vm = store.get(uid);
        return vm && consolePath(vm);
      },
    }),
    keepMtus({ network, ledger, own: managed?.bridge, clock, log, patience }),
    watchShares({ network, names, ledger, store, meter: metrics, clock, log, patience }),
    hearServer({ network, ledger, meter: metrics, clock, log }),
    () => purge.stop(),
  ];
  const stopImageLimit = limitImages({ images, ledger, clock, log, maxBytes: config['image-cache-max'] });

  return {
    async listen(surface, endpoint, options) {
      if (endpoint.kind === 'unix') sockets.push(endpoint.path); // before it is there: the audit must know it
      return surface === 'grpc' ? api.listenGrpc(endpoint, options) : api.listenHttp(endpoint, options);
    },
    reload() {
      tls?.look();
      tokens?.look();
    },
    async recover() {
      purge.start('now');
      networks.start();
      await recover(
        {
          ...{ store, ledger, images, scheduler, network: managed },
          ...{ metadata, clock, log },
          ...{ metadataPorts: engine.metadataPorts, health: networks.health },
        },
        stopping.signal,
      );
      isReconciling = false;
      stopAudits = auditPeriodically({
        audit: (signal) => auditHost({ fix: false }, signal),
        clock,
        log,
        everyMs: config['audit-period'],
      });
    },
    async stop() {
      stopping.abort(new Fault('cancelled', 'the daemon ends'));
      const looksEnd = Promise.all(stopLooks.map((stop) => stop()));
      networks.release();
      await api.stop();
      tls?.close();
      tokens?.close();
      await scheduler.stop();
      await metadata.close();
      await Promise.all([looksEnd, stopAudits()]);
      metrics.stop();
      await stopImageLimit();
      await images.settled(); // an ended pull still strikes its entry
      guests.detachAll();
      opened.close();
    },
  };
}

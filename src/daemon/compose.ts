import { createApi } from '../api/api.ts';
import { CurrentCaller } from '../api/current-caller.ts';
import type { Endpoint } from '../api/endpoint.ts';
import type { ListenOptions } from '../api/listen.ts';
import { withRequest } from '../api/request-id.ts';
import { limitsOf } from '../domain/admission.ts';
import { Fault } from '../domain/fault.ts';
import { auditPeriodically } from '../engine/audit/periodic.ts';
import { sweepGuestSockets } from '../engine/guest-sockets.ts';
import { limitImages } from '../engine/image-limit.ts';
import { noticeNewBoot } from '../engine/new-boot.ts';
import { recover } from '../engine/recovery.ts';
import { clock } from '../host/clock.ts';
import { files } from '../host/files.ts';
import { createProcesses } from '../host/processes.ts';
import { patientRun } from '../host/run.ts';
import type { Log } from '../ports/log.ts';
import { cordonOf } from '../service/cordon.ts';
import { FIRST_THERE_WAS } from '../vmm/registry.ts';
import { buildAudit } from './build/audit.ts';
import { buildEngine } from './build/engine.ts';
import { startLooks } from './build/looks.ts';
import { buildNetworks } from './build/networks.ts';
import type { Parts } from './build/parts.ts';
import { buildServices } from './build/services.ts';
import { buildStorage } from './build/storage.ts';
import { buildTools } from './build/tools.ts';
import { buildVmms } from './build/vmms.ts';
import { limitSettings } from './capacity.ts';
import { managedCidr } from './managed-cidr.ts';
import { Metrics } from './metrics/metrics.ts';
import type { Opened } from './open.ts';
import { hostNames } from './own-names.ts';
import type { Config } from './settings.ts';
import { tlsOf } from './tls-files.ts';
import { tokensFor } from './tokens.ts';

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
export async function compose(
  config: Config,
  version: string,
  opened: Opened,
  plainLog: Log,
  socketGid?: number,
): Promise<Daemon> {
  const caller = new CurrentCaller();
  const log = withRequest(plainLog, caller.get);
  const { store, ledger, database } = opened;
  const { patience } = config;
  const metrics = new Metrics({ version, clock, log });
  const processes = createProcesses(opened.starter);
  const stopping = new AbortController();
  const parts: Parts = {
    ...{ config, opened, log, metrics, processes },
    acts: metrics.acts(opened.acts),
    run: patientRun(patience),
    ending: stopping.signal,
  };
  const bootId = await processes.bootId();
  noticeNewBoot({ store, ledger, transactions: database, clock, log }, bootId);
  // Before anybody can call: nothing of this daemon's is there yet.
  await sweepGuestSockets({ names: opened.names, files });
  const cidr = await managedCidr(config, opened, log);
  const tls = tlsOf(config, { log, clock });
  const tokens = tokensFor(config, { log, clock });

  const storage = await buildStorage(parts);
  const vmms = await buildVmms(parts);
  const tools = buildTools(parts, cidr);
  const networks = await buildNetworks(parts, cidr);
  const engine = buildEngine(parts, { ...storage, vmms, networks, caller, bootId, socketGid });
  const { guests, scheduler } = engine;
  const { images } = storage;
  const { managed, metadata } = networks;

  for (const note of (await vmms.capacity()).notes) log.warn('microVMs can have less than this host has', { note });
  let isReconciling = true;
  const sockets: string[] = [];
  const audit = buildAudit(parts, vmms, () => [...sockets, ...engine.sockets.paths()]);
  const services = buildServices(parts, {
    ...{ version, cidr, storage, vmms, tools, networks, engine, audit },
    isReconciling: () => isReconciling,
  });
  const api = createApi({
    services,
    log,
    clock,
    ...(tls && { tls }),
    ...(tokens && { tokens: tokens.current }),
    httpNames: [...hostNames(), ...config['http-name']],
    metrics: () => metrics.text(),
    calls: metrics.call,
    caller,
    patience,
    ready: () => (isReconciling ? 'reconciling: the microVMs are being looked at after the start' : undefined),
  });

  metrics.watch({
    store,
    providers: vmms.vmms.map(({ name }) => name),
    untoldProvider: FIRST_THERE_WAS,
    capacity: vmms.capacity,
    limits: (host) => limitsOf(limitSettings(config), host),
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
  const looks = startLooks(parts, { vmms, networks, engine });
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
      looks.purge();
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
      opened.starter.begin();
      stopAudits = auditPeriodically({
        audit: (signal) => audit({ fix: false }, signal),
        clock,
        log,
        everyMs: config['audit-period'],
      });
    },
    async stop() {
      stopping.abort(new Fault('cancelled', 'the daemon ends'));
      const looksEnd = looks.stop();
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
      await engine.sockets.settled();
      opened.close();
    },
  };
}

import { createHash, randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { createApi } from '../api/api.ts';
import { CurrentCaller } from '../api/current-caller.ts';
import type { Endpoint } from '../api/endpoint.ts';
import type { ListenOptions } from '../api/listen.ts';
import { withRequest } from '../api/request-id.ts';
import { createUlids } from '../base/ulid.ts';
import { limitsOf } from '../domain/admission.ts';
import { CONSOLE_TAIL_BYTES } from '../domain/console.ts';
import { Fault } from '../domain/fault.ts';
import { type Cidr, parseCidr } from '../domain/ipv4.ts';
import { HOST_OWNER } from '../domain/ledger.ts';
import type { MicroVm, Uid } from '../domain/microvm.ts';
import {
  bridgeName,
  cgroupName,
  databasePath,
  imagesDirectory,
  lockPath,
  type Names,
  tableName,
  vmRunDirectory,
  vmStateDirectory,
} from '../domain/names.ts';
import { providerOf } from '../domain/provider-of.ts';
import { chooseUsers, isIn, type OthersUsers, othersUsers, sharersOf, type UserRange } from '../domain/user-ranges.ts';
import { audit } from '../engine/audit/audit.ts';
import { auditPeriodically } from '../engine/audit/periodic.ts';
import { Bridges } from '../engine/bridges.ts';
import { keepConsoles } from '../engine/console-keeper.ts';
import { GuestLives } from '../engine/guest-lives.ts';
import { GuestReports } from '../engine/guest-reports.ts';
import { WatchedGuests } from '../engine/guests.ts';
import { hearServer } from '../engine/hear-server.ts';
import { HostNetwork } from '../engine/host-network.ts';
import { limitImages } from '../engine/image-limit.ts';
import { keepMtus } from '../engine/keep-mtus.ts';
import { MetadataPorts } from '../engine/metadata-ports.ts';
import { NetworkHealth } from '../engine/network-health.ts';
import { noticeNewBoot } from '../engine/new-boot.ts';
import { ParentDevice } from '../engine/parent-device.ts';
import { ProgressBoard } from '../engine/progress.ts';
import { purgePeriodically } from '../engine/purge.ts';
import { createReconciler } from '../engine/reconciler.ts';
import { recover } from '../engine/recovery.ts';
import { Scheduler } from '../engine/scheduler.ts';
import { SharedConsoles } from '../engine/shared-consoles.ts';
import { StepRunner } from '../engine/step-runner.ts';
import { watchShares } from '../engine/watch-shares.ts';
import { Ways } from '../engine/ways.ts';
import { createCgroups } from '../host/cgroups.ts';
import { clock } from '../host/clock.ts';
import { converse } from '../host/converse.ts';
import { registryEnvironment } from '../host/environment.ts';
import { files } from '../host/files.ts';
import { follow } from '../host/follow.ts';
import { limitsInForce } from '../host/limits-in-force.ts';
import { createProcesses } from '../host/processes.ts';
import { roomText } from '../host/room.ts';
import { patientRun } from '../host/run.ts';
import { createImages } from '../images/images.ts';
import { createCidataDisks } from '../metadata/cidata.ts';
import { createSeeds } from '../metadata/seeds.ts';
import { createMetadataServer } from '../metadata/server.ts';
import { createTokens } from '../metadata/tokens.ts';
import { KERNEL_PARTS } from '../network/kernel-trial.ts';
import { createNetwork } from '../network/network.ts';
import { KernelNews } from '../network/news.ts';
import { type Acts, DIRECT } from '../ports/acts.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import type { FirewallElements, Shares, Surroundings } from '../ports/network.ts';
import type { Wholeness } from '../ports/network-watch.ts';
import type { Store } from '../ports/store.ts';
import { cordonOf } from '../service/cordon.ts';
import { createServices } from '../service/create-services.ts';
import { nicsOf } from '../steps/managed.ts';
import { planText } from '../steps/plan.ts';
import { schemas } from '../steps/registry.ts';
import type { HostStepPorts } from '../steps/step.ts';
import { Database, holdLock } from '../store/database.ts';
import { createLedger } from '../store/ledger.ts';
import { createStore } from '../store/vms.ts';
import { TOOLS } from '../tools/list.ts';
import { removeOldTrials } from '../tools/scratch.ts';
import { createToolbox } from '../tools/toolbox.ts';
import { PROVIDERS } from '../vmm/registry.ts';
import { chooseVolumes } from '../volumes/volumes.ts';
import { limited } from './acts/limits.ts';
import { patient } from './acts/patience.ts';
import { requireAuthFile } from './auth-file.ts';
import { capacityOf, isInMemory } from './capacity.ts';
import { demoKernelOf } from './demo-kernel.ts';
import { tryKernel } from './kernel-states.ts';
import { Metrics } from './metrics/metrics.ts';
import type { Config } from './settings.ts';
import { tlsOf } from './tls-files.ts';
import { tokensFor } from './tokens.ts';
import { vmmsBy } from './vmms-by.ts';

/** A VMM's socket on this host takes a connection at once. */
/** What a daemon looks at on the host before it serves. */
const LOOK_MS = 120_000;
const CONSOLE_OPEN_MS = 5_000;

/** Everything that needs the state directory: opened by one process at a time. */
export interface Opened {
  readonly names: Names;
  readonly store: Store;
  readonly ledger: Ledger;
  readonly database: Database;
  readonly network: HostStepPorts & Surroundings & Shares & FirewallElements & Wholeness;
  /** Within their limits, as long as this host may take. */
  readonly acts: Acts;
  close(): void;
}

/**
 * Opens the state directory.
 * @throws Fault `refused` when another daemon holds it or the database is newer
 */
export async function open(config: Config, version: string, log: Log, faulty: (acts: Acts) => Acts): Promise<Opened> {
  // What is to hang on purpose has a short limit, whatever the patience.
  const acts = patient(faulty(limited(DIRECT)), config.patience);
  const stateDirectory = await directory(config['state-dir'], 0o700);
  const runDirectory = await directory(config['run-dir'], 0o711);
  const names: Names = { instance: instanceOf(stateDirectory), stateDirectory, runDirectory };
  const lock = holdLock(lockPath(names));
  try {
    const database = new Database(databasePath(names), roomText);
    const store = createStore(database, { clock, log, newEpoch: () => randomBytes(6).toString('hex') });
    const ledger = createLedger(database, schemas, version);
    const run = patientRun(config.patience);
    const { patience } = config;
    const ending = new AbortController();
    const living = { converse, signal: ending.signal };
    const network = createNetwork({ run, follow, living, files, processes: createProcesses(), clock, log, patience });
    const close = (): void => {
      ending.abort();
      database.close();
      lock.release();
    };
    return { names, store, ledger, database, network, acts, close };
  } catch (error) {
    lock.release();
    throw error;
  }
}

async function directory(path: string, mode: number): Promise<string> {
  await files.makeDirectory(path, mode);
  return (await files.realPath(path)) ?? path;
}

/** Four letters or digits that begin every name of this daemon on the host. */
function instanceOf(stateDirectory: string): string {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
  const digest = createHash('sha256').update(stateDirectory).digest();
  return [...digest.subarray(0, 4)].map((byte) => alphabet[byte % 32]).join('');
}

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
  const metrics = new Metrics({ version, clock, log });
  const acts = metrics.acts(opened.acts);
  const run = patientRun(config.patience);
  const processes = createProcesses();
  const stopping = new AbortController();
  const sockets: string[] = [];
  const bootId = await processes.bootId();
  noticeNewBoot({ store, ledger, transactions: database, clock, log }, bootId);
  const cidr = await networkOf(config, opened, log);

  const tls = tlsOf(config, { log, clock });
  const tokens = tokensFor(config, { log, clock });
  const authFile = config['registry-auth-file'];
  if (authFile !== '') await requireAuthFile(files, authFile);
  const images = createImages({
    directory: imagesDirectory(names),
    registryEnvironment: registryEnvironment(process.env),
    imageRoots: config['image-root'],
    insecureRegistries: config['insecure-registry'],
    ...(authFile !== '' && { authFile }),
    run,
    files,
    ledger,
    clock,
    log,
    acts,
    meter: metrics,
  });
  await files.makeDirectory(imagesDirectory(names), 0o700);
  await removeOldTrials(files, names.instance);
  const path = process.env.PATH ?? '';
  const deps = { whose: names.instance, path, run, files, processes, clock, log };
  const vmms = await Promise.all(PROVIDERS.map((provider) => provider.create(deps, config)));
  const { vmmOf, defaultVmms } = vmmsBy(vmms, config['default-provider']);
  const volumes = await chooseVolumes({
    directory: imagesDirectory(names),
    files,
    log,
    inMemory: await isInMemory(imagesDirectory(names)),
    signal: stopping.signal,
  });
  const tools = createToolbox(TOOLS, { run, files, clock, log, path, whose: names.instance, signal: stopping.signal });
  const kernelParts = [
    ...(cidr || config['bridge-name'] !== '' ? [KERNEL_PARTS.tun, KERNEL_PARTS.bridge, KERNEL_PARTS.firewall] : []),
    ...(cidr && config['network-probe-period'] > 0 ? [KERNEL_PARTS.veth] : []),
    ...(config['parent-iface'] !== '' ? [KERNEL_PARTS.macvtap] : []),
  ];
  const kernel = tryKernel(kernelParts, { run, files, clock, log, signal: stopping.signal });
  const vmmUsers = await usersOf(config['vmm-uid-range'], store, log);
  const setting = config['vmm-cgroups'];
  const { cgroups, why } = await createCgroups({ files, name: cgroupName(names), setting });
  if (why !== undefined) log.info('VMMs run without limits of their own: flintlock doctor tells more', { why });
  const consolePath = (vm: MicroVm): string =>
    vmmOf(providerOf(vm)).consolePath({ stateDirectory: vmStateDirectory(names, vm.uid) });
  const consoles = new SharedConsoles((uid) => {
    const vm = store.get(uid);
    if (!vm) throw new Fault('not_found', `microVM with uid ${uid} not found`);
    const limits = AbortSignal.any([stopping.signal, AbortSignal.timeout(CONSOLE_OPEN_MS)]);
    const places = { uid, runDirectory: vmRunDirectory(names, uid), stateDirectory: vmStateDirectory(names, uid) };
    return vmmOf(providerOf(vm)).openChannel(places, 'console', limits);
  });
  const consoleTail = async (uid: Uid): Promise<string> => {
    const vm = store.get(uid);
    const path = vm && consolePath(vm);
    const info = path === undefined ? undefined : await files.stat(path);
    if (path === undefined || !info) return '';
    const offset = Math.max(0, info.sizeBytes - CONSOLE_TAIL_BYTES);
    return Buffer.from((await files.read(path, { offset, maxBytes: CONSOLE_TAIL_BYTES })) ?? []).toString();
  };

  const progress = new ProgressBoard();
  const wake = {
    // The work goes on for as long as it takes, for whatever was asked later too: it is no call's.
    wake: (uid: Uid): void => caller.outside(() => scheduler.wake(uid)),
    interrupt: (uid: Uid): void => caller.outside(() => scheduler.interrupt(uid)),
  };
  const maximumRetry = config['maximum-retry'];
  const reports = new GuestReports({ store, files, clock, log, consolePath });
  const lives = new GuestLives({ store, clock, log });
  const guests = new WatchedGuests({
    ...{ store, clock, log, wake, reports, lives },
    ...{ consoleTail, maximumRetry, meter: metrics },
  });
  const news = new KernelNews({ follow, clock, log, tables: tableName(names) });
  const health = new NetworkHealth({ store, clock });
  const { patience } = config;
  const watched = { names, ledger, network, news, health, clock, log, acts, patience };
  const managed = cidr && new HostNetwork({ ...watched, cidr, store });
  const bridge = config['bridge-name'];
  const bridges = new Bridges(watched);
  const attached = bridge === '' ? undefined : bridges.at(bridge);
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
  const cidata = createCidataDisks({ run, files, store });
  const parentName = config['parent-iface'];
  await requireParent(parentName, network, patience);
  const parent = parentName === '' ? undefined : new ParentDevice({ ...watched, parent: parentName });
  const networks = { managed, attached, bridgeAt: (name: string) => bridges.at(name), parent };
  const ports = { names, files, cgroups, images, volumes, network, ...networks, guests, metadata, cidata, vmm: vmmOf };
  const runner = new StepRunner({ store, ledger, transactions: database, clock, progress, ports, acts });
  const metadataPorts = new MetadataPorts({ store, ledger, runner, log });
  const reconciler = createReconciler({
    ...{ store, ledger, runner, guests, metadataPorts, clock, log },
    vmm: vmmOf,
    consoleTail,
    maximumRetry,
    bootId,
  });
  const scheduler = new Scheduler(metrics.look(reconciler), { clock, log });

  const auditDeps = {
    ...{ names, files, processes, cgroups, network, vmms, ledger, log },
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
  // Of version 2 a VMM is put elsewhere, where the daemon's own limits are not its.
  const [below] = cgroups.of('', { memoryInMb: 0, tasks: 0 });
  const vmmsBelow = below !== undefined && below.enable.length > 0 ? dirname(below.parent) : undefined;
  const capacity = async () =>
    capacityOf(names.stateDirectory, await limitsInForce({ files, ...(vmmsBelow !== undefined && { vmmsBelow }) }));
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
    imageCacheMax: config['image-cache-max'],
    volumes,
    files,
    ownNames: new Set([hostname().toLowerCase().split('.')[0] ?? '', names.instance]),
    network: cidr,
    bridge: bridge === '' ? undefined : bridge,
    parent: parent?.parent,
    surroundings: network,
    vmmUsers,
    othersUsers: readOthersUsers,
    vmms,
    tools: { ...tools, states: async () => [...(await tools.states()), ...kernel()] },
    defaultVmms,
    limits,
    newUid: () => newUid() as Uid,
    plan: planText,
    digest: (text) => createHash('sha256').update(text).digest('base64'),
    vmmInfo: (vmm) => vmm.info(),
    capacity,
    progress: (uid) => progress.of(uid),
    running: (uid) => guests.of(uid),
    isReconciling: () => isReconciling,
    consolePath,
    joinConsole: (uid) => consoles.join(uid),
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
    providers: vmms.map(({ name }) => name),
    defaultProvider: vmmOf('').name,
    capacity,
    limits: (host) => limitsOf(limits, host),
    images,
    imageCacheMax: config['image-cache-max'],
    queue: () => ({ ...scheduler.depth(), waiting: runner.waiting() }),
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
      news.start();
      managed?.start();
      ways?.start();
      bridges.start(managed?.bridge);
      parent?.start();
      await recover(
        {
          ...{ store, ledger, images, scheduler, network: managed },
          ...{ metadata, metadataPorts, health, clock, log },
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
      news.release();
      ways?.release();
      managed?.release();
      bridges.release();
      parent?.release();
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

async function readOthersUsers(): Promise<readonly OthersUsers[]> {
  const read = async (path: string): Promise<string> => Buffer.from((await files.read(path)) ?? []).toString();
  return othersUsers(await read('/etc/passwd'), await read('/etc/subuid'));
}

/** Who is a VMM's user, too, can end it and read its memory. */
async function usersOf(setting: Config['vmm-uid-range'], store: Store, log: Log): Promise<UserRange> {
  const others = await readOthersUsers();
  const range = setting === 'auto' ? chooseUsers(others) : setting;
  const sharers = sharersOf(range, others);
  if (sharers.length > 0)
    log.warn('users for VMMs are others’ too, and are left out: give a range of their own', {
      ...{ setting: '--vmm-uid-range', range: `${range.first}-${range.last}`, sharers },
    });
  // Given before others came, or by an earlier version.
  const shared = store
    .list({})
    .map(({ allocation }) => allocation.vmmUser)
    .filter((user) => isIn(user, others));
  if (shared.length > 0)
    log.warn(
      'users of microVMs are others’ too, who could end their VMMs and read their memory: make these microVMs anew',
      {
        users: shared.slice(0, 20),
        sharers: shared.slice(0, 3).flatMap((user) => sharersOf({ first: user, last: user }, others)),
      },
    );
  return range;
}

/** The seal of the metadata service's tokens: kept, so that a guest's are good for the next daemon too. */
function tokenKey(store: Store): Uint8Array {
  const key = store.recall('metadata-token-key') ?? randomBytes(32).toString('base64');
  store.remember('metadata-token-key', key);
  return Buffer.from(key, 'base64');
}

/** @throws Fault `refused` where no macvtap can be made on it */
async function requireParent(parent: string, network: Surroundings, patience: number): Promise<void> {
  const wrong = parent === '' ? undefined : await network.parentUnfit(parent, AbortSignal.timeout(LOOK_MS * patience));
  if (wrong !== undefined) throw new Fault('refused', `Cannot use --parent-iface ${parent}: ${wrong}`);
}

const REMEMBERED_NETWORK = 'managed-network';

/** The network's CIDR: as given, as chosen before, or the first that no route of the host meets. */
async function networkOf(
  config: Config,
  { names, store, ledger, network }: Opened,
  log: Log,
): Promise<Cidr | undefined> {
  const wanted = config['bridge-name'] === '' ? config['managed-network'] : 'none';
  if (wanted === 'none') return undefined;
  const bridge = bridgeName(names);
  const signal = AbortSignal.timeout(LOOK_MS * config.patience);
  // A row that cannot be read keeps no daemon from its start.
  const isMade = ledger.ofKind('forwarding').length + ledger.unreadable(HOST_OWNER).length > 0;
  const before = isMade ? store.recall(REMEMBERED_NETWORK) : undefined;
  const text = wanted !== 'auto' ? wanted : (before ?? (await network.freeCidr(bridge, signal)));
  if (text === undefined)
    throw new Fault(
      'refused',
      'Every network from 10.77.0.0/24 to 10.255.0.0/24 meets a route of the host: give one with --managed-network',
    );
  if (before !== undefined && before !== text)
    throw new Fault(
      'refused',
      `Cannot use --managed-network ${text}: the network was made as ${before}; delete its microVMs and run flintlockd teardown first`,
    );
  const obstacle = await network.overlaps({ cidr: text, bridge }, signal);
  // A network that is made stays in use, whatever came after it: its guests are not left alone for that.
  if (obstacle !== undefined && before === undefined)
    throw new Fault('refused', `Cannot use the network ${text}: ${obstacle}`);
  if (obstacle !== undefined) log.warn('the network meets another of this host', { obstacle });
  store.remember(REMEMBERED_NETWORK, text);
  return parseCidr(text);
}

import { createHash } from 'node:crypto';
import { createUlids } from '../../src/base/ulid.ts';
import { limited } from '../../src/daemon/acts/limits.ts';
import type { SpecDraft } from '../../src/domain/draft.ts';
import { type LedgerEntry, type LedgerKind, VM_STEP_KINDS, vmOwner } from '../../src/domain/ledger.ts';
import type { MicroVm, StateName, Uid } from '../../src/domain/microvm.ts';
import { type Names, networkDirectory, vmRunDirectory, vmStateDirectory } from '../../src/domain/names.ts';
import { type AuditDeps, audit } from '../../src/engine/audit/audit.ts';
import { GuestReports } from '../../src/engine/guest-reports.ts';
import { WatchedGuests } from '../../src/engine/guests.ts';
import { HostNetwork } from '../../src/engine/host-network.ts';
import { MetadataPorts } from '../../src/engine/metadata-ports.ts';
import { NetworkHealth } from '../../src/engine/network-health.ts';
import { noticeNewBoot } from '../../src/engine/new-boot.ts';
import { ParentDevice } from '../../src/engine/parent-device.ts';
import { ProgressBoard } from '../../src/engine/progress.ts';
import { createReconciler } from '../../src/engine/reconciler.ts';
import { recover } from '../../src/engine/recovery.ts';
import { type Look, Scheduler } from '../../src/engine/scheduler.ts';
import { StepRunner } from '../../src/engine/step-runner.ts';
import { TellMetadata } from '../../src/engine/tell-metadata.ts';
import { createToldMetadata } from '../../src/metadata/mmds.ts';
import { type Acts, DIRECT } from '../../src/ports/acts.ts';
import type { Clock } from '../../src/ports/clock.ts';
import type { Files } from '../../src/ports/host.ts';
import type { ImageStore, Images } from '../../src/ports/images.ts';
import type { Ledger } from '../../src/ports/ledger.ts';
import { type Meter, NO_METER } from '../../src/ports/meter.ts';
import type { NetworkNews } from '../../src/ports/network-watch.ts';
import type { AllocationKind, Store } from '../../src/ports/store.ts';
import { createServices } from '../../src/service/create-services.ts';
import type { ServiceParts } from '../../src/service/needs.ts';
import type { Services } from '../../src/service/services.ts';
import { nicsOf } from '../../src/steps/managed.ts';
import { planText } from '../../src/steps/plan.ts';
import { Database } from '../../src/store/database.ts';
import { createStore } from '../../src/store/vms.ts';
import { eventually, FakeClock, turn } from './fake-clock.ts';
import { FAKE_CIDR, fakeNetwork } from './fake-network.ts';
import { fakeCgroups, fakeProcesses, fakeVmm } from './fake-processes.ts';
import { type Caller, FakeWorld, fakeCidata, fakeFiles, fakeImages, fakeMetadata, fakeVolumes } from './fake-world.ts';
import { ledgerIn } from './memory-ledger.ts';
import { memoryLog } from './memory-log.ts';

/** Where a daemon's life ends, as by kill -9. */
export type CrashPoint =
  | { readonly kind: LedgerKind; readonly at: 'intent' | 'act' | 'mark' | 'undo' | 'strike' }
  | { readonly at: 'before gone' | 'after gone' };

class Killed extends Error {}

/** A spec with one of everything. */
export const fullDraft: SpecDraft = {
  id: 'web',
  namespace: '',
  labels: { app: 'web' },
  vcpu: 1,
  memoryInMb: 128,
  kernel: { image: 'oci:/images:kernel', filename: 'boot/vmlinuz', cmdline: '', addNetworkConfig: false },
  initrd: { image: 'oci:/images:kernel' },
  volumes: [
    { id: 'data', isRoot: false, isReadOnly: true, mountPoint: '', image: 'oci:/images:data' },
    { id: 'root', isRoot: true, isReadOnly: false, mountPoint: '', image: 'oci:/images:root' },
  ],
  interfaces: [
    {
      name: 'eth0',
      type: 'TAP',
      allowMetadata: true,
      publishedPorts: [{ hostPort: 8080, guestPort: 80, protocol: 'tcp', hostIp: '' }],
    },
  ],
  metadata: {},
  provider: '',
  restartPolicy: 'ON_FAILURE',
  providerOptions: {},
  outputsSet: [],
};

const names: Names = { instance: 'abcd', stateDirectory: '/state', runDirectory: '/run/fl' };

/** One daemon from its start to its end: everything that it holds in memory. */
export interface Life extends Caller {
  dead: boolean;
  readonly store: Store;
  readonly ledger: Ledger;
  readonly scheduler: Scheduler;
  readonly guests: WatchedGuests;
  readonly network: HostNetwork;
  readonly progress: ProgressBoard;
  readonly services: Services;
  readonly context: ServiceParts;
  readonly auditDeps: AuditDeps;
  /** The ports of the metadata service that it listens on, by uid. */
  readonly served: Map<string, number>;
  readonly metadataPorts: MetadataPorts;
  readonly health: NetworkHealth;
}

export interface FakeHostOptions {
  readonly maximumRetry?: number;
  /** What the guest has written to its console. */
  readonly consoleTail?: (uid: Uid) => Promise<string>;
  /** What the verbs get instead of what is made up here. */
  readonly context?: Partial<ServiceParts>;
  /** What acts are run through, by default within their limits, and what counts: nothing, by default. */
  readonly acts?: Acts;
  readonly meter?: Meter;
  /** Wraps the work on a microVM. */
  readonly look?: (look: Look) => Look;
}

/** The daemon's engine and verbs, whole, on a host that exists only in memory, over a real database. */
export class FakeHost {
  readonly names = names;
  readonly world = new FakeWorld();
  readonly clock = new FakeClock();
  readonly log = memoryLog();
  readonly database = new Database(':memory:');
  readonly #options: FakeHostOptions;
  readonly #newUid: () => string;
  /** What the database holds, whoever lives. */
  readonly #records: Store;
  readonly #ledger: Ledger;
  #crash: CrashPoint | undefined;
  #created = 0;
  life: Life;

  constructor(options: FakeHostOptions = {}) {
    this.#options = options;
    this.#newUid = createUlids(
      () => this.clock.now(),
      () => this.clock.random(),
    );
    this.life = this.#begin();
    this.#records = createStore(this.database, { clock: this.clock, log: this.log, newEpoch: () => 'e' });
    this.#ledger = ledgerIn(this.database);
  }

  /** The life ends there, once. */
  crashAt(point: CrashPoint): void {
    this.#crash = point;
  }

  async create(changes: Partial<SpecDraft> = {}): Promise<Uid> {
    const hostPort = 8080 + this.#created++; // each has its own: two cannot share one
    const interfaces = fullDraft.interfaces.map((nic) => ({
      ...nic,
      publishedPorts: [{ hostPort, guestPort: 80, protocol: 'tcp', hostIp: '' }],
    }));
    const before = new Set(this.#records.list({}).map(({ uid }) => uid));
    try {
      return (await this.life.services.create({ ...fullDraft, interfaces, ...changes }, { uniqueId: true })).uid;
    } catch (error) {
      // Its answer was lost with the daemon.
      const stored = this.#records.list({}).find(({ uid }) => !before.has(uid));
      if (error instanceof Killed && stored) return stored.uid;
      throw error;
    }
  }

  allocated(kind: AllocationKind): number {
    return allocatedIn(this.database, kind);
  }

  async delete(uid: Uid): Promise<void> {
    await this.life.services.delete({ uid });
  }

  vm(uid: Uid): MicroVm {
    const vm = this.#records.get(uid);
    if (!vm) throw new Error(`no record of ${uid}`);
    return vm;
  }

  ledgerOf(uid: Uid): readonly LedgerEntry[] {
    return this.#ledger.of(vmOwner(uid));
  }

  /** Waits without time going on. */
  async until(uid: Uid, state: StateName | 'gone'): Promise<MicroVm> {
    const isSo = (): MicroVm | undefined => {
      const vm = this.vm(uid);
      return (state === 'gone' ? vm.goneAt !== undefined : vm.state.is === state) ? vm : undefined;
    };
    return await eventually(`${uid} is ${state}`, isSo).catch((cause: unknown) => {
      throw new Error(`it is ${JSON.stringify(this.vm(uid).state)}; the calls: ${this.world.calls.join(', ')}`, {
        cause,
      });
    });
  }

  /** Lets time go on, from timer to timer, until it is so. */
  async untilLater(uid: Uid, state: StateName | 'gone', timers = 200): Promise<MicroVm> {
    for (let i = 0; i < timers; i++) {
      for (let turns = 0; turns < 100; turns++) {
        const vm = this.vm(uid);
        if (state === 'gone' ? vm.goneAt !== undefined : vm.state.is === state) return vm;
        await turn();
      }
      const { next } = this.clock;
      if (next !== undefined) this.clock.advance(next - this.clock.now());
    }
    return this.until(uid, state);
  }

  killed(): Promise<true> {
    const { life } = this;
    return eventually('the daemon is killed', () => life.dead || undefined);
  }

  /** All that was in memory is lost, and another daemon begins over the same database and host. */
  async restart(): Promise<void> {
    this.life.dead = true;
    this.life = this.#begin();
    const { store, ledger, scheduler, network, served, metadataPorts, health } = this.life;
    const images = fakeImages(this.world, this.life);
    const signal = new AbortController().signal;
    const metadata = fakeMetadata(this.world, served);
    const { clock, log } = this;
    await recover({ store, ledger, images, scheduler, network, metadata, metadataPorts, health, clock, log }, signal);
  }

  async audit(fix = false) {
    return await audit(this.life.auditDeps, { fix }, new AbortController().signal);
  }

  #die(life: Life): never {
    this.#crash = undefined;
    life.dead = true;
    throw new Killed('kill -9');
  }

  #begin(): Life {
    const { world, log, database } = this;
    const life = { dead: false, isNamed: (name: string) => isNamed(name) } as Life; // the rest follows below
    const alive = (): void => {
      if (life.dead) throw new Killed('a daemon that was killed does nothing');
    };
    // A timer of a life that ended never calls.
    const clock: Clock = {
      now: () => this.clock.now(),
      elapsed: () => this.clock.elapsed(),
      random: () => this.clock.random(),
      after: (ms, callback) => this.clock.after(ms, () => void (life.dead || callback())),
      sleep: (ms, signal) => this.clock.sleep(ms, signal),
    };
    const realStore = createStore(database, { clock, log, newEpoch: () => 'epoch1' });
    const realLedger = ledgerIn(database);
    const isNamed = (name: string): boolean => realLedger.all().some((e) => JSON.stringify(e.intent).includes(name));
    const isAt = (kind: LedgerKind, at: string): boolean =>
      this.#crash !== undefined && 'kind' in this.#crash && this.#crash.kind === kind && this.#crash.at === at;
    let dieAfterCommit = false;
    /** A microVM's rows are written together with others. */
    const dieOnceStored = (kind: LedgerKind): void => {
      if (!VM_STEP_KINDS.some((one) => one === kind)) this.#die(life);
      dieAfterCommit = true;
    };

    const ledger: Ledger = {
      ...realLedger,
      intend: (owner, kind, key, intent) => {
        alive();
        const entry = realLedger.intend(owner, kind, key, intent);
        if (isAt(kind, 'intent')) dieOnceStored(kind);
        return entry;
      },
      made: (entry, result) => {
        alive();
        if (isAt(entry.kind, 'act')) this.#die(life);
        realLedger.made(entry, result);
        if (isAt(entry.kind, 'mark')) dieOnceStored(entry.kind);
      },
      strike: (entry) => {
        alive();
        if (isAt(entry.kind, 'undo')) this.#die(life);
        realLedger.strike(entry);
        if (isAt(entry.kind, 'strike')) dieOnceStored(entry.kind);
      },
    };
    const store: Store = {
      ...realStore,
      create: (created) => {
        alive();
        realStore.create(created);
      },
      update: (uid, change) => {
        alive();
        return realStore.update(uid, change);
      },
      gone: (uid, tail) => {
        alive();
        if (this.#crash?.at === 'before gone') this.#die(life);
        realStore.gone(uid, tail);
        if (this.#crash?.at === 'after gone') dieAfterCommit = true;
      },
    };
    const transactions = {
      transact: <T>(work: () => T): T => {
        alive();
        const result = database.transact(work);
        if (dieAfterCommit) this.#die(life);
        return result;
      },
      together: async <T>(work: () => T): Promise<T> => {
        alive();
        const result = await database.together(work);
        if (dieAfterCommit) this.#die(life);
        return result;
      },
    };

    const files = fakeFiles(world, life);
    const images = fakeImages(world, life);
    const volumes = fakeVolumes(world, life);
    const fakedNetwork = fakeNetwork(world, life);
    const served = new Map<string, number>();
    const vmm = fakeVmm(world, life);
    const progress = new ProgressBoard();
    const consoleTail = this.#options.consoleTail ?? (async () => 'login:');
    const wake = {
      wake: (uid: Uid): void => scheduler.wake(uid),
      interrupt: (uid: Uid): void => scheduler.interrupt(uid),
    };
    const consolePath = (vm: MicroVm): string => vmm.consolePath({ stateDirectory: vmStateDirectory(names, vm.uid) });
    const reports = new GuestReports({
      transactions,
      ...{ store, clock, log, consolePath },
      files: this.#options.context?.files ?? fakeConsoles(),
    });
    const maximumRetry = this.#options.maximumRetry ?? 3;
    const { acts = limited(DIRECT), meter = NO_METER, look = (same) => same } = this.#options;
    noticeNewBoot({ store, ledger, transactions, clock, log }, world.bootId);
    const lives = { follow: () => undefined, leave: () => undefined };
    const guests = new WatchedGuests({ store, clock, log, wake, reports, lives, consoleTail, maximumRetry, meter });
    const health = new NetworkHealth({ store, clock });
    const news: NetworkNews = { onNews: () => () => undefined, isTold: () => false };
    const network = new HostNetwork({
      ...{ news, health },
      cidr: FAKE_CIDR,
      names,
      ledger,
      network: fakedNetwork,
      store,
      clock,
      log,
      acts,
    });
    const parent = new ParentDevice({
      ...{ news, health },
      parent: 'par0',
      names,
      ledger,
      network: fakedNetwork,
      clock,
      log,
      acts,
    });
    const cgroups = fakeCgroups(world, life);
    const toldMetadata = createToldMetadata(store);
    const ports = {
      names,
      files,
      cgroups,
      images,
      volumes,
      network: fakedNetwork,
      managed: network,
      attached: undefined,
      parent,
      bridgeAt: (bridge: string) => ({ bridge, ensure: async () => undefined }),
      metadata: fakeMetadata(world, served),
      cidata: fakeCidata(world, life),
      toldMetadata,
      guests,
      vmm: () => vmm,
    };
    const runner = new StepRunner({ store, ledger, transactions, clock, progress, ports, acts });
    const metadataPorts = new MetadataPorts({ store, ledger, runner, log });
    const scheduler = new Scheduler(
      look(
        createReconciler({
          store,
          ledger,
          runner,
          guests,
          metadataPorts,
          tellMetadata: new TellMetadata({
            ...{ guests, clock, log, metadata: toldMetadata },
            nicsOf: (vm) => nicsOf({ managed: network }, vm),
          }),
          clock,
          log,
          vmm: () => vmm,
          consoleTail,
          maximumRetry,
          bootId: world.bootId,
        }),
      ),
      { clock, log },
    );
    const auditDeps: AuditDeps = {
      names,
      files,
      processes: fakeProcesses(world, life),
      cgroups,
      network: fakedNetwork,
      vmms: [vmm],
      ledger,
      log,
      uids: () => store.list({ gone: true }).map((vm) => vm.uid),
      sockets: () => [],
    };
    const context: ServiceParts = {
      version: '0.0.0',
      instance: names.instance,
      stateDirectory: names.stateDirectory,
      runDirectory: names.runDirectory,
      agentOf: () => undefined,
      agentSoon: async () => undefined,
      store,
      transactions,
      clock,
      wake,
      ledger,
      images: withoutCache(images),
      pullPolicy: 'ALWAYS',
      imageCacheMax: 0,
      volumes,
      files,
      network: FAKE_CIDR,
      ownNames: new Set(['hv1', names.instance]),
      bridge: undefined,
      parent: 'par0',
      surroundings: fakedNetwork,
      vmmUsers: { first: 70_000, last: 70_099 },
      othersUsers: async () => [],
      vmms: [vmm],
      tools: { states: async () => [], obstacle: async () => undefined },
      defaultVmms: [vmm],
      patience: 1,
      limits: { maxMemory: 'none', maxVcpu: 'none', maxDisk: 'none', maxMicrovms: 'none' },
      newUid: () => this.#newUid() as Uid,
      intend: (vm) => runner.intend(vm),
      plan: planText,
      digest: (text) => createHash('sha256').update(text).digest('base64'),
      capacity: async () => ({
        capacity: { vcpu: 2, memoryInMb: 4_096, diskInMb: 10_000 },
        used: { vcpu: 0, memoryInMb: 0, diskInMb: 0 },
        diskIsMemory: false,
        notes: [],
      }),
      progress: (uid) => progress.of(uid),
      running: (uid) => guests.of(uid),
      isReconciling: () => false,
      consolePath,
      joinConsole: (uid) => {
        const places = { uid, runDirectory: vmRunDirectory(names, uid), stateDirectory: vmStateDirectory(names, uid) };
        return vmm.openChannel(places, 'console', new AbortController().signal);
      },
      demoKernel: '',
      onChange(listener) {
        const stops = [store.onEvent(listener), guests.onAttach(listener)];
        return () => {
          for (const stop of stops) stop();
        };
      },
      audit: (options, signal) => audit(auditDeps, options, signal),
      ...this.#options.context,
    };
    world.addPath(networkDirectory(names), 'directory');
    return Object.assign(life, {
      store,
      ledger,
      scheduler,
      guests,
      network,
      progress,
      context,
      auditDeps,
      served,
      metadataPorts,
      health,
      services: createServices(context),
    });
  }
}

/** How many of what only one microVM may have are taken. */
export const allocatedIn = ({ sql }: Database, kind: AllocationKind): number =>
  Number(sql.prepare('SELECT count(*) AS n FROM allocations WHERE kind = ?').get(kind)?.n);

/** Consoles on which nobody writes. */
const fakeConsoles = (): Pick<Files, 'read' | 'stat' | 'watch'> => ({
  stat: async () => undefined,
  read: async () => undefined,
  watch: () => () => undefined,
});

/** The verbs of the image cache have tests of their own, against the real one. */
const withoutCache = (images: Images): ImageStore => ({
  ...images,
  list: async () => [],
  fullName: (reference) => reference,
  pull: () => Promise.reject(new Error('not faked')),
  remove: () => Promise.reject(new Error('not faked')),
  prune: async () => [],
  onGrowth: () => () => undefined,
  settled: async () => undefined,
});

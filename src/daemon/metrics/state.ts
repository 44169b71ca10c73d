import type { Registry } from '../../base/prometheus.ts';
import type { Limits, Promised, Resources } from '../../domain/admission.ts';
import type { StateName } from '../../domain/microvm.ts';
import type { ImageStore } from '../../ports/images.ts';
import type { Store } from '../../ports/store.ts';

/** What is looked at when somebody asks for the metrics. */
export interface StateSources {
  readonly store: Pick<Store, 'tally' | 'promised'>;
  /** Those that there are. */
  readonly providers: readonly string[];
  readonly untoldProvider: string;
  capacity(): Promise<{ readonly capacity: Resources; readonly used: Resources }>;
  limits(capacity: Resources): Limits;
  readonly images: Pick<ImageStore, 'list'>;
  /** Bytes; 0: no limit. */
  readonly imageCacheMax: number;
  queue(): {
    readonly looking: number;
    readonly delayed: number;
    readonly waiting: Readonly<Record<'make' | 'unmake', Readonly<Record<string, number>>>>;
  };
  /** Transactions that are on the disk. */
  commits(): number;
  isReconciling(): boolean;
  isCordoned(): boolean;
}

const STATES: Readonly<Record<StateName, true>> = {
  PENDING: true,
  CREATED: true,
  PAUSED: true,
  STOPPED: true,
  FAILED: true,
  DELETING: true,
};
const MIB = 2 ** 20;

/** What is so now: nothing of it is counted, so nothing of it can drift. @returns how to look again */
export function stateMetrics(registry: Registry, from: () => StateSources): readonly (() => void | Promise<void>)[] {
  const microvms = registry.gauge(
    'flintlock_microvms',
    'MicroVMs by their recorded state and their provider; those of which nothing is left do not count.',
  );
  const reconciling = registry.gauge(
    'flintlock_reconciling',
    '1 while the daemon, after its start, still looks at what an earlier one left.',
  );
  const cordoned = registry.gauge(
    'flintlock_host_cordoned',
    '1 while the host takes no more microVMs (flintlock host cordon).',
  );
  const queue = registry.gauge(
    'flintlock_reconcile_queue',
    'MicroVMs that are being worked on, and those that wait for the time of their next attempt or look.',
  );
  const waiting = registry.gauge(
    'flintlock_steps_waiting',
    'Steps that wait for their turn, by what they need of the host.',
  );
  const cacheBytes = registry.gauge('flintlock_image_cache_bytes', 'What all images take on the disk.');
  const cacheImages = registry.gauge('flintlock_image_cache_images', 'How many images are in the cache.');
  const cacheLimit = registry.gauge('flintlock_image_cache_limit_bytes', '--image-cache-max; absent without one.');
  const commits = registry.counter(
    'flintlock_database_commits_total',
    'Transactions that the database has put on the disk: each waits for it.',
  );
  const figures = resourceGauges(registry);

  const records = (): void => {
    const { store, providers, untoldProvider } = from();
    microvms.clear();
    for (const provider of providers) for (const state of Object.keys(STATES)) microvms.set(0, { state, provider });
    for (const { state, provider, count } of store.tally()) {
      const name = provider || untoldProvider;
      // A record of another version may name what is not built in: it is no reason for a new word.
      microvms.add(count, {
        state: state in STATES ? state : 'other',
        provider: providers.includes(name) ? name : 'other',
      });
    }
    figures.promised(store.promised());
  };
  const work = (): void => {
    commits.reach(from().commits());
    const { looking, delayed, waiting: lanes } = from().queue();
    queue.set(looking, { which: 'working' });
    queue.set(delayed, { which: 'delayed' });
    for (const [way, counts] of Object.entries(lanes))
      for (const [lane, count] of Object.entries(counts)) waiting.set(count, { lane, way });
    reconciling.set(from().isReconciling() ? 1 : 0);
    cordoned.set(from().isCordoned() ? 1 : 0);
  };
  const host = async (): Promise<void> => {
    const { capacity, used } = await from().capacity();
    figures.capacity(capacity);
    figures.used(used);
    figures.limits(from().limits(capacity));
  };
  const cache = async (): Promise<void> => {
    const { images, imageCacheMax } = from();
    cacheBytes.clear();
    cacheImages.clear();
    if (imageCacheMax > 0) cacheLimit.set(imageCacheMax);
    const list = await images.list();
    cacheImages.set(list.length);
    cacheBytes.set(list.reduce((sum, { bytes }) => sum + bytes, 0));
  };
  return [records, work, host, cache];
}

/** CPUs, memory and disk, each as the host has it, as it is used by whomever, as it is promised, and as it may be. */
function resourceGauges(registry: Registry) {
  const of =
    'capacity (of the host), used (by whomever), promised (to microVMs), limit (of promises; absent without one)';
  const vcpus = registry.gauge('flintlock_vcpus', `CPUs: ${of}.`);
  const memory = registry.gauge('flintlock_memory_bytes', `Memory: ${of}.`);
  const disk = registry.gauge('flintlock_disk_bytes', `The state directory's file system: ${of}.`);
  const limit = registry.gauge('flintlock_microvms_limit', '--max-microvms; absent without one.');
  const set = (kind: string, { vcpu, memoryInMb, diskInMb }: Partial<Resources>): void => {
    if (vcpu !== undefined) vcpus.set(vcpu, { kind });
    if (memoryInMb !== undefined) memory.set(memoryInMb * MIB, { kind });
    if (diskInMb !== undefined) disk.set(diskInMb * MIB, { kind });
  };
  return {
    capacity: (figures: Resources): void => set('capacity', figures),
    used: (figures: Resources): void => set('used', figures),
    promised: (figures: Promised): void => set('promised', figures),
    limits(figures: Limits): void {
      set('limit', figures);
      if (figures.microvms !== undefined) limit.set(figures.microvms);
    },
  };
}

import type { CallMeter } from '../../api/call-meter.ts';
import { endsWithin } from '../../base/ends-within.ts';
import { Registry } from '../../base/prometheus.ts';
import type { StateName, Uid } from '../../domain/microvm.ts';
import type { Reason } from '../../domain/reason.ts';
import { TROUBLE_TEXT, type TroubleKind } from '../../domain/server-words.ts';
import { SHARES, type Share } from '../../domain/shares.ts';
import type { Acts } from '../../ports/acts.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Log } from '../../ports/log.ts';
import type { Meter, VmmDevice } from '../../ports/meter.ts';
import type { Way, WayFound } from '../../ports/network-probe.ts';
import { actMetrics } from '../acts/metrics.ts';
import { callMetrics } from './calls.ts';
import { observe } from './observe.ts';
import { ProcessMetrics } from './process.ts';
import { type StateSources, stateMetrics } from './state.ts';

/** Seconds: most looks find nothing to do; one that pulls an image takes as long as the pull. */
const LOOK_BUCKETS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300];
/** Seconds: a registry nearby, one far off, one that does not answer. */
const LOOKUP_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** Looks at the disk may hang with it: then what they would say is left out. */
const COLLECT_MS = 2_000;

type Look = (uid: Uid, signal: AbortSignal) => Promise<number | undefined>;
/** What an audit found and did not undo. */
interface Audited {
  readonly leaked: readonly unknown[];
  readonly missing: readonly unknown[];
}

export interface MetricsDeps {
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * All that the daemon counts, and how it is told. Whoever does something is
 * wrapped or calls {@link Meter}; nobody below the daemon knows of Prometheus.
 */
export class Metrics implements Meter {
  readonly registry = new Registry();
  /** Measures the steps that are run through these points. */
  readonly acts: (acts: Acts) => Acts;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #process: ProcessMetrics;
  /** Counts a call that has ended. */
  readonly call: CallMeter;
  readonly #families: ReturnType<typeof families>;
  readonly #collectors: readonly (() => Promise<void>)[];
  #sources: StateSources | undefined;
  #collecting: Promise<void> | undefined;

  constructor({ version, clock, log }: MetricsDeps) {
    this.#clock = clock;
    this.#log = log;
    const build = this.registry.gauge('flintlock_build_info', 'Always 1: which version runs, on which Node.');
    build.set(1, { version, node: process.versions.node });
    this.acts = actMetrics(this.registry, clock);
    this.call = callMetrics(this.registry);
    this.#families = families(this.registry);
    const state = stateMetrics(this.registry, () => {
      if (!this.#sources) throw new Error('the daemon is not put together yet');
      return this.#sources;
    });
    this.#process = new ProcessMetrics(this.registry, clock, log);
    this.#collectors = [...state, () => this.#process.collect()].map((collect) => this.#tolerant(collect));
  }

  /** Where the state is looked at, from now on. */
  watch(sources: StateSources): void {
    this.#sources = sources;
  }

  /** Measures the work on one microVM, from its waking to its end. */
  look(look: Look): Look {
    return async (uid, signal) => {
      const began = this.#clock.elapsed();
      try {
        return await look(uid, signal);
      } finally {
        observe(this.#families.looks, this.#clock.elapsed() - began);
      }
    };
  }

  /** Keeps what the last audit found, whoever asked for it. */
  audit<R extends Audited, A extends readonly unknown[]>(
    audit: (...args: A) => Promise<R>,
  ): (...args: A) => Promise<R> {
    const { audits, auditedAt, leaks, missing } = this.#families;
    return async (...args) => {
      try {
        const found = await audit(...args);
        audits.add(1, { result: 'done' });
        auditedAt.set(this.#clock.now() / 1_000);
        leaks.set(found.leaked.length);
        missing.set(found.missing.length);
        return found;
      } catch (error) {
        audits.add(1, { result: 'failed' });
        throw error;
      }
    };
  }

  imageLookup(result: 'done' | 'failed' | 'cancelled', { ms }: { readonly ms?: number }): void {
    this.#families.lookups.add(1, { result });
    if (ms !== undefined) observe(this.#families.registryLookups, ms, { result });
  }

  pulledBytes(bytes: number): void {
    this.#families.pulled.add(bytes);
  }

  runEnded(reason: Reason, now: StateName): void {
    this.#families.ends.add(1, { reason, state: now });
  }

  overShare(guests: Readonly<Record<Share, number>>): void {
    for (const [share, count] of Object.entries(guests)) this.#families.overShare.set(count, { share });
  }

  serverTrouble(kind: TroubleKind): void {
    this.#families.troubles.add(1, { kind });
  }

  resolvers(count: number): void {
    this.#families.resolvers.set(count);
  }

  wayTried(way: Way, is: WayFound['is']): void {
    this.#families.ways.set(is === 'open' ? 1 : is === 'blocked' ? 0 : -1, { way });
  }

  vmmFailures(provider: string, device: VmmDevice, count: number): void {
    this.#families.vmmFailures.add(count, { provider, device });
  }

  /** In Prometheus' text format. Whoever asks while others do gets the same. */
  async text(): Promise<string> {
    this.#collecting ??= this.#collect().finally(() => {
      this.#collecting = undefined;
    });
    await this.#collecting;
    return this.registry.text();
  }

  stop(): void {
    this.#process.stop();
  }

  async #collect(): Promise<void> {
    const all = Promise.all(this.#collectors.map((collect) => collect()));
    await endsWithin(COLLECT_MS, all, (ms, call) => this.#clock.after(ms, call));
  }

  /** One that fails keeps none of the others; one that hangs is not begun again meanwhile. */
  #tolerant(collect: () => void | Promise<void>): () => Promise<void> {
    let underWay: Promise<void> | undefined;
    const run = async (): Promise<void> => {
      try {
        await collect();
      } catch (error) {
        this.#families.failures.add(1);
        this.#log.debug('a part of the metrics could not be collected', { error });
      } finally {
        underWay = undefined;
      }
    };
    return () => {
      underWay ??= run();
      return underWay;
    };
  }
}

function families(registry: Registry) {
  const made = {
    looks: registry.histogram(
      'flintlock_reconcile_duration_seconds',
      'How long a look at one microVM took, with all the steps that it ran.',
      LOOK_BUCKETS,
    ),
    ends: registry.counter(
      'flintlock_run_ends_total',
      'Runs of guests that ended by themselves, by reason and by the state afterwards: PENDING ones are started again.',
    ),
    lookups: registry.counter(
      'flintlock_image_lookups_total',
      'How often a registry or a directory was asked what an image reference leads to.',
    ),
    registryLookups: registry.histogram(
      'flintlock_image_lookup_duration_seconds',
      'How long registries took to say where a tag or digest leads: a part of the image step, before the pull if there is one.',
      LOOKUP_BUCKETS,
    ),
    pulled: registry.counter('flintlock_image_pulled_bytes_total', 'Bytes of packed layers that have come.'),
    audits: registry.counter('flintlock_audits_total', 'Comparisons of the host with the ledger.'),
    auditedAt: registry.gauge(
      'flintlock_audit_timestamp_seconds',
      'When the last audit ended well, in seconds since 1970; absent before the first.',
    ),
    leaks: registry.gauge('flintlock_audit_leaks', 'What the last audit found on the host and no record names.'),
    missing: registry.gauge('flintlock_audit_missing', 'What is recorded and the last audit did not find on the host.'),
    overShare: registry.gauge(
      'flintlock_guests_over_share',
      'Guests that asked for more than their share within the last minute, by what: the excess was dropped.',
    ),
    troubles: registry.counter(
      'flintlock_dhcp_server_troubles_total',
      "Lines in which the managed network's DHCP and DNS server complained, by what they mean.",
    ),
    resolvers: registry.gauge(
      'flintlock_dns_servers',
      "DNS servers of the host's that guests' questions are passed on to; absent before the network is made.",
    ),
    ways: registry.gauge(
      'flintlock_network_way_open',
      'Whether guests of the managed network reach what they need: 1 yes, 0 something refuses it, -1 the host itself does not.',
    ),
    vmmFailures: registry.counter(
      'flintlock_vmm_failures_total',
      'What VMMs count of requests of their guests that failed, by the kind of device: of those that count it.',
    ),
    failures: registry.counter(
      'flintlock_metrics_failures_total',
      'Figures that could not be had when these metrics were asked for.',
    ),
  };
  for (const result of ['done', 'failed']) made.audits.add(0, { result });
  for (const result of ['done', 'failed', 'cancelled']) made.lookups.add(0, { result });
  made.pulled.add(0);
  for (const share of Object.keys(SHARES)) made.overShare.set(0, { share });
  for (const kind of Object.keys(TROUBLE_TEXT)) made.troubles.add(0, { kind });
  made.failures.add(0);
  return made;
}

import type { Clock } from '../ports/clock.ts';
import type { Follow } from '../ports/host.ts';
import type { Log } from '../ports/log.ts';
import type { NetworkNews, News } from '../ports/network-watch.ts';

export interface NewsOptions {
  /** Absent: nothing is told. */
  readonly follow?: Follow | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** What the names of our firewall tables begin with. */
  readonly tables: string;
}

/** A monitor that ends is started again after so long, in milliseconds, doubled each time. */
const AGAIN_MS = 1_000;
const AGAIN_MOST_MS = 60_000;
/** One that has run so long was no failure. */
const STEADY_MS = 60_000;

/**
 * Two tools of the distribution's that tell what the kernel tells. Where one
 * cannot be had, or ends, the other goes on, and whoever listens looks for
 * himself the more often.
 *
 * @see ip-monitor(8), nft(8) on `monitor`
 */
export class KernelNews implements NetworkNews {
  readonly #options: NewsOptions;
  readonly #stop = new AbortController();
  readonly #listeners = new Set<(news: News) => void>();
  readonly #running = new Set<string>();

  constructor(options: NewsOptions) {
    this.#options = options;
  }

  start(): void {
    if (!this.#options.follow) return;
    // Routes are left out: a host that routes for others has thousands of changes a second.
    const objects = ['link', 'address', 'rule', 'netconf'];
    void this.#follow(['ip', '-o', 'monitor', ...objects], (line) => (line.trim() === '' ? undefined : 'ours'));
    void this.#follow(['nft', 'monitor'], (line) => newsOf(line, this.#options.tables));
  }

  release(): void {
    this.#stop.abort();
    this.#listeners.clear();
  }

  onNews(listener: (news: News) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  isTold(): boolean {
    return this.#running.size === 2;
  }

  #tell(news: News | undefined): void {
    if (news !== undefined) for (const listener of this.#listeners) listener(news);
  }

  async #follow(argv: readonly [string, ...string[]], parse: (line: string) => News | undefined): Promise<void> {
    const { follow, clock, log } = this.#options;
    const { signal } = this.#stop;
    const [name] = argv;
    let waitMs = AGAIN_MS;
    while (follow && !signal.aborted) {
      const began = clock.elapsed();
      this.#running.add(name);
      const { ended } = follow(argv, { signal, onLine: (line) => this.#tell(parse(line)) });
      const how = await ended;
      this.#running.delete(name);
      if (signal.aborted) return;
      if (clock.elapsed() - began > STEADY_MS) waitMs = AGAIN_MS;
      if (waitMs === AGAIN_MS) log.warn('changes of the network are not told: it is looked at more often', { how });
      this.#tell('ours'); // what came meanwhile was not told
      await clock.sleep(waitMs, signal).catch(() => undefined);
      waitMs = Math.min(2 * waitMs, AGAIN_MOST_MS);
    }
  }
}

/** What one line of `nft monitor` means to us. */
export function newsOf(line: string, tables: string): News | undefined {
  const [verb = '', what = '', , ...rest] = line.trim().split(' ');
  if (verb === '#' || verb === '' || !/^[a-z]+$/.test(verb)) return undefined;
  if (!rest.some((word) => word.startsWith(tables)) && !what.startsWith(tables)) {
    // Elements come and go with containers and blocked strangers; they may be what refuses us, too, but not often.
    return what === 'element' ? undefined : 'others';
  }
  // What we add ourselves, for each microVM. What others add there is found by looking.
  return verb === 'add' && what === 'element' ? undefined : 'ours';
}

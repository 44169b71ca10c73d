/** What tells one series of a family from another: a bounded set of words, never a uid and never what a client sent. */
export type Labels = Readonly<Record<string, string>>;

interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  lines(): Iterable<string>;
}

/** Numbers that a monitoring system fetches, by name. */
export class Registry {
  readonly #families = new Map<string, Family>();

  /** What only grows. @param name - ends in `_total` */
  counter(name: string, help: string): Counter {
    return this.#add(new Counter(name, help));
  }

  gauge(name: string, help: string): Gauge {
    return this.#add(new Gauge(name, help));
  }

  /** @param buckets - upper bounds, growing; the last, which holds all, is added */
  histogram(name: string, help: string, buckets: readonly number[]): Histogram {
    return this.#add(new Histogram(name, help, buckets));
  }

  names(): readonly string[] {
    return [...this.#families.keys()];
  }

  /**
   * All families in Prometheus' text format, which is told as {@link CONTENT_TYPE}.
   * @see https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
   */
  text(): string {
    const lines: string[] = [];
    for (const family of this.#families.values()) {
      lines.push(`# HELP ${family.name} ${escapeHelp(family.help)}`, `# TYPE ${family.name} ${family.type}`);
      lines.push(...family.lines());
    }
    return `${lines.join('\n')}\n`;
  }

  #add<F extends Family>(family: F): F {
    if (!NAME.test(family.name) || this.#families.has(family.name))
      throw new Error(`"${family.name}" is no name for a metric, or is taken`);
    this.#families.set(family.name, family);
    return family;
  }
}

export const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

const NAME = /^[a-z][a-z0-9_]*$/;

export class Counter implements Family {
  readonly type = 'counter';
  readonly name: string;
  readonly help: string;
  readonly #series = new Series();

  constructor(name: string, help: string) {
    this.name = name;
    this.help = help;
  }

  /** @param by - 0 makes the series known before anything is counted */
  add(by: number, labels: Labels = {}): void {
    this.#series.set(labels, this.#series.get(labels) + by);
  }

  /** Takes over a total that somebody else counts. */
  reach(total: number, labels: Labels = {}): void {
    this.#series.set(labels, total);
  }

  lines(): Iterable<string> {
    return this.#series.lines(this.name);
  }
}

export class Gauge implements Family {
  readonly type = 'gauge';
  readonly name: string;
  readonly help: string;
  readonly #series = new Series();

  constructor(name: string, help: string) {
    this.name = name;
    this.help = help;
  }

  set(value: number, labels: Labels = {}): void {
    this.#series.set(labels, value);
  }

  add(by: number, labels: Labels = {}): void {
    this.#series.set(labels, this.#series.get(labels) + by);
  }

  /** What is not known is not shown. */
  clear(): void {
    this.#series.clear();
  }

  lines(): Iterable<string> {
    return this.#series.lines(this.name);
  }
}

interface Distribution {
  /** As they were given first. */
  readonly labels: Labels;
  /** One a bucket; none for the last. */
  readonly counts: number[];
  count: number;
  sum: number;
}

export class Histogram implements Family {
  readonly type = 'histogram';
  readonly name: string;
  readonly help: string;
  readonly #buckets: readonly number[];
  readonly #series = new Map<string, Distribution>();

  constructor(name: string, help: string, buckets: readonly number[]) {
    this.name = name;
    this.help = help;
    this.#buckets = buckets;
  }

  observe(value: number, labels: Labels = {}): void {
    const key = keyOf(labels);
    const found = this.#series.get(key) ?? { labels, counts: this.#buckets.map(() => 0), count: 0, sum: 0 };
    this.#series.set(key, found);
    const at = this.#buckets.findIndex((bound) => value <= bound);
    if (at >= 0) found.counts[at] = (found.counts[at] ?? 0) + 1;
    found.count++;
    found.sum += value;
  }

  *lines(): Iterable<string> {
    for (const { labels, counts, count, sum } of this.#series.values()) {
      const text = labelText(labels);
      let below = 0;
      for (const [i, bound] of this.#buckets.entries()) {
        below += counts[i] ?? 0;
        yield `${this.name}_bucket${labelText({ ...labels, le: numberText(bound) })} ${below}`;
      }
      yield `${this.name}_bucket${labelText({ ...labels, le: '+Inf' })} ${count}`;
      yield `${this.name}_sum${text} ${numberText(sum)}`;
      yield `${this.name}_count${text} ${count}`;
    }
  }
}

/** Values by their labels. */
class Series {
  readonly #values = new Map<string, { readonly text: string; value: number }>();

  get(labels: Labels): number {
    return this.#values.get(keyOf(labels))?.value ?? 0;
  }

  set(labels: Labels, value: number): void {
    const key = keyOf(labels);
    const found = this.#values.get(key);
    if (found) found.value = value;
    else this.#values.set(key, { text: labelText(labels), value });
  }

  clear(): void {
    this.#values.clear();
  }

  *lines(name: string): Iterable<string> {
    for (const { text, value } of this.#values.values()) yield `${name}${text} ${numberText(value)}`;
  }
}

/** The same for the same labels, in whatever order they are given. */
const keyOf = (labels: Labels): string =>
  JSON.stringify(Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1)));

/** `{a="b",c="d"}`, or nothing. */
function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

const escapeHelp = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
const escapeLabel = (text: string): string => escapeHelp(text).replaceAll('"', '\\"');

function numberText(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  return String(value);
}

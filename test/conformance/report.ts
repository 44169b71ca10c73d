import { createHash } from 'node:crypto';

/** One thing that the guest said: `disk=vdb ro=1 bytes=67108864` is of kind `disk`, has the name `vdb` and the values of the rest. */
export interface Fact {
  readonly kind: string;
  /** All behind the first `=`. */
  readonly text: string;
  /** The first word of it. */
  readonly name: string;
  /** As the guest wrote it. */
  readonly line: string;
}

const LINE = /report: ([a-z_]+)=(.*?)\r?$/;

/** What a guest said at one time; see report.sh. It remembers what of it was looked at: that is the evidence of a row. */
export class Report {
  readonly #facts: readonly Fact[];
  readonly #used = new Set<Fact>();

  constructor(facts: readonly Fact[]) {
    this.#facts = facts;
  }

  /** The same facts, of which nothing was looked at yet. */
  fresh(): Report {
    return new Report(this.#facts);
  }

  /** All of a kind, in the guest's order. @param name - only those of this name */
  all(kind: string, name?: string): readonly Fact[] {
    const found = this.#facts.filter((fact) => fact.kind === kind && (name === undefined || fact.name === name));
    for (const fact of found) this.#used.add(fact);
    return found;
  }

  /** The text of the one of its kind; `nothing` where the guest said none. */
  text(kind: string, name?: string): string {
    return this.all(kind, name)[0]?.text ?? 'nothing';
  }

  /** `ro=1` of a fact's words; `nothing` where it is not there. */
  value(kind: string, name: string, key: string): string {
    return wordAfter(this.all(kind, name)[0], key);
  }

  /** The lines that were looked at, in the guest's order. */
  get evidence(): readonly string[] {
    return this.#facts.filter((fact) => this.#used.has(fact)).map(({ line }) => line);
  }
}

/** A value of a fact, up to the next blank. */
export function wordAfter(fact: Fact | undefined, key: string): string {
  return (
    fact?.text
      .split(' ')
      .find((word) => word.startsWith(`${key}=`))
      ?.slice(key.length + 1) ?? 'nothing'
  );
}

/** What is on a console. */
export interface Heard {
  /** Every report that came through whole, the first one first. */
  readonly reports: readonly Report[];
  /** How many did not, as their sum says: what such a one says is nobody's word, and it is to be said again. */
  readonly broken: number;
  /** Whether one has begun and not ended. */
  readonly isUnfinished: boolean;
}

/**
 * What an initrd said of itself before a report belongs to it. One that is
 * said again, line by line, is one.
 */
export function heardOn(console: string): Heard {
  const reports: Report[] = [];
  let broken = 0;
  let before: Fact[] = [];
  let facts: Fact[] = [];
  let last = '';
  // The last line may be on its way still.
  for (const raw of console.split('\n').slice(0, -1)) {
    const [, kind = '', text = ''] = LINE.exec(raw) ?? [];
    if (kind === '') continue;
    const fact = { kind, text, name: text.split(' ')[0] ?? '', line: raw.trim() };
    if (kind === 'initrd') before = [fact];
    else if (kind === 'begin') facts = [fact];
    else if (kind !== 'end') facts.push(fact);
    else {
      const own = `${facts.length} ${md5(facts.map((one) => `${one.kind}=${one.text}\n`).join(''))}`;
      if (own !== text) broken++;
      else if (text !== last) reports.push(new Report([...before, ...facts]));
      if (own === text) last = text;
      before = [];
      facts = [];
    }
  }
  return { reports, broken, isUnfinished: facts.length > 0 };
}

const md5 = (text: string): string => createHash('md5').update(text).digest('hex');

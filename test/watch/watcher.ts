import { setImmediate as turn } from 'node:timers/promises';
import type { Database } from '../../src/store/database.ts';
import { type Surface, type Told, WAYS, type Way } from './ways.ts';
import { numbers } from './writer.ts';

/** How a watcher watches. */
export interface Habit {
  readonly way: keyof typeof WAYS;
  readonly namespace: string;
  /** Empty, or the value of the label `tier` that it asks for. */
  readonly tier: string;
  /** From the first change on, or with a list of all there is. */
  readonly begins: 'with the first change' | 'with a list';
  /** Turns of the loop that it lets pass after each event. */
  readonly slowness: number;
  /** Goes away after so many events, and comes back by its cursor; 0: never. */
  readonly leavesAfter: number;
}

/** The same for the same number and seed. */
export function habitOf(i: number, seed: number, way: Habit['way']): Habit {
  const next = numbers(seed + i);
  next(2);
  return {
    way,
    namespace: next(4) === 0 ? 'odd' : '',
    tier: ['', '', 'a', 'b'][next(4)] ?? '',
    begins: next(2) === 0 ? 'with a list' : 'with the first change',
    slowness: next(4) === 0 ? 1 + next(3) : 0,
    leavesAfter: next(3) === 0 ? 20 + next(60) : 0,
  };
}

interface Seen {
  readonly seq: number;
  readonly type: string;
  readonly uid: string;
  readonly version: number;
}

/** The microVMs that it knows of, and their versions. */
type Known = Map<string, number>;

/** One who watches to the end, whatever happens, and notes what it is told. */
export class Watcher {
  readonly habit: Habit;
  readonly #seen: Seen[] = [];
  readonly #known: Known = new Map();
  /** The first cursor that it had; its list is as of then. */
  #from: number | undefined;
  #cursor = '';
  /** Listed in this visit: of these the daemon may say once more what they are, when it has looked itself. */
  readonly #listed = new Set<string>();
  comings = 0;

  constructor(habit: Habit) {
    this.habit = habit;
    if (habit.begins === 'with the first change') this.#from = 0;
  }

  get seq(): number {
    return this.#cursor === '' ? 0 : seqOf(this.#cursor);
  }

  get events(): number {
    return this.#seen.length;
  }

  /** @param last - the last change, once it is known */
  async run(
    daemon: { readonly life: Promise<Surface> },
    last: () => number | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { habit } = this;
    const way: Way = WAYS[habit.way];
    const labelSelector = habit.tier === '' ? '' : `tier=${habit.tier}`;
    while (this.seq !== last()) {
      signal.throwIfAborted();
      const life = await daemon.life;
      this.comings++;
      if (this.#cursor === '') this.#known.clear();
      this.#listed.clear();
      if (this.#cursor === '' && this.#from === 0) this.#cursor = `${life.epoch}.0`;
      let count = 0;
      const visit = new AbortController();
      const asked = { namespace: habit.namespace, labelSelector, cursor: this.#cursor };
      try {
        for await (const told of way(life, asked, AbortSignal.any([visit.signal, signal]))) {
          this.#note(told);
          if (this.seq === last()) break;
          // Once in the middle of the list too; always there, it would never come to its end.
          if (++count >= habit.leavesAfter && habit.leavesAfter > 0 && (this.#cursor !== '' || this.comings === 1))
            break;
          for (let i = 0; i < habit.slowness; i++) await turn();
        }
      } catch (error) {
        // The daemon went away under it: it looks for the next one.
        if (!life.ended.aborted) throw error;
        await turn();
      } finally {
        visit.abort(new Error('it leaves'));
      }
    }
  }

  #note({ type, uid, version, cursor }: Told): void {
    const isBegun = this.#from !== undefined;
    if (cursor === '') {
      if (isBegun) throw new Error(`told ${type} ${uid} without a cursor after it had one`);
      if (type !== 'BOOKMARK') apply(this.#known, { type, uid, version });
      this.#listed.add(uid);
      return;
    }
    const seq = seqOf(cursor);
    if (type === 'MODIFIED' && seq === this.seq && this.#listed.delete(uid)) return;
    this.#from ??= type === 'BOOKMARK' ? seq : seq - 1;
    this.#cursor = cursor;
    if (type !== 'BOOKMARK') this.#seen.push({ seq, type, uid, version });
  }

  /** What it was told against what the database holds. @returns what is wrong */
  faults(database: Database): string[] {
    const { namespace, tier } = this.habit;
    const wrong: string[] = [];
    const known: Known = new Map();
    const expected: Seen[] = [];
    const rows = database.sql.prepare('SELECT seq, type, record, labels_before FROM events ORDER BY seq').iterate();
    for (const row of rows) {
      const { uid, version, spec } = JSON.parse(String(row.record)) as Row;
      const seq = Number(row.seq);
      const isIn = (labels: Readonly<Record<string, string>>): boolean =>
        (namespace === '' || spec.namespace === namespace) && (tier === '' || labels.tier === tier);
      const is = isIn(spec.labels);
      const was = row.labels_before === null ? is : isIn(JSON.parse(String(row.labels_before)));
      if (!is && !was) continue;
      const type = is && was ? String(row.type) : is ? 'ADDED' : 'DELETED';
      if (seq <= (this.#from ?? 0)) apply(known, { type, uid, version });
      else expected.push({ seq, type, uid, version });
    }
    if (textOf(known) !== textOf(this.#known)) wrong.push('the list is not what there was');
    const [told, should] = [this.#seen, expected].map((all) => all.map((one) => Object.values(one).join(' ')));
    if (!told || !should) return wrong;
    const has = new Set(told);
    const should_ = new Set(should);
    wrong.push(...should.filter((one) => !has.has(one)).map((one) => `lost: ${one}`));
    wrong.push(...told.filter((one) => !should_.has(one)).map((one) => `never was: ${one}`));
    wrong.push(...told.filter((one) => !has.delete(one) && should_.has(one)).map((one) => `twice: ${one}`));
    wrong.push(
      ...this.#seen
        .filter(({ seq }, i) => seq <= (this.#seen[i - 1]?.seq ?? 0))
        .map((one) => `out of order: ${one.seq}`),
    );
    return wrong;
  }
}

interface Row {
  readonly uid: string;
  readonly version: number;
  readonly spec: { readonly namespace: string; readonly labels: Readonly<Record<string, string>> };
}

export const seqOf = (cursor: string): number => Number(cursor.split('.')[1]);

function apply(known: Known, { type, uid, version }: { type: string; uid: string; version: number }): void {
  if (type === 'DELETED') known.delete(uid);
  else if ((known.get(uid) ?? 0) >= version) throw new Error(`told ${type} ${uid} of version ${version} again`);
  else known.set(uid, version);
}

const textOf = (known: Known): string =>
  [...known]
    .map(([uid, version]) => `${uid}/${version}`)
    .toSorted()
    .join();

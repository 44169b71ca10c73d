import { z } from 'zod';
import type { JsonRow } from './table.ts';

/** Of each row what is compared; the rest is for people. */
const ROW = z.object({ name: z.string(), what: z.string(), ratio: z.number().nullable(), budget: z.string() });
const ROWS = z.array(z.looseObject(ROW.shape));
export type Compared = z.infer<typeof ROW>;

/** So much worse is told: less is the noise of a machine. */
const WORSE = 1.2;

/** What `-o json` prints, and what is stored. @throws ZodError of what is none */
export const parseRows = (text: string): readonly Compared[] => ROWS.parse(JSON.parse(text));

/** What is kept: this run's rows, and of those that it left out what was kept before, in the order of the names given. */
export function merged(
  rows: readonly JsonRow[],
  before: readonly Compared[],
  order: readonly string[],
): readonly Compared[] {
  const now = new Map<string, Compared>(before.map((row) => [row.name, row]));
  for (const row of rows) if (row.ours !== null || !now.has(row.name)) now.set(row.name, row);
  return order.flatMap((name) => now.get(name) ?? []);
}

export interface Checked {
  /** A line for each that got worse by more than a fifth. */
  readonly worse: readonly string[];
  /** How many could be compared. */
  readonly compared: number;
}

/** Which ratios got worse by over 20 %. */
export function compare(rows: readonly Compared[], stored: readonly Compared[]): Checked {
  const kept = new Map(stored.map((row) => [row.name, row.ratio]));
  const pairs = rows.flatMap((row) => {
    const before = kept.get(row.name);
    return row.ratio === null || before === null || before === undefined ? [] : [{ row, now: row.ratio, before }];
  });
  const worse = pairs.flatMap(({ row, now, before }) => {
    const factor = isMoreBetter(row) ? before / now : now / before;
    if (!(factor > WORSE)) return [];
    const percent = Number.isFinite(factor) ? `by ${Math.round((factor - 1) * 100)} %` : 'without bound';
    return [`${row.name}: ${row.what}: ratio ${now.toFixed(2)}, stored ${before.toFixed(2)}: worse ${percent}`];
  });
  return { worse, compared: pairs.length };
}

const isMoreBetter = ({ budget }: Compared): boolean => budget.startsWith('≥');

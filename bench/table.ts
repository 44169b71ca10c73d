import type { Figures } from './figures.ts';
import { type Budget, judgedOf, type Result } from './row.ts';

/** Three digits that count: more is noise. */
export function numberText(value: number): string {
  if (!Number.isFinite(value)) return '-';
  const size = Math.abs(value);
  if (size >= 100 || Number.isInteger(value)) return value.toFixed(0);
  return value.toFixed(size >= 10 ? 1 : size >= 0.01 || value === 0 ? 2 : 3);
}

export const budgetText = (budget: Budget, unit: string): string =>
  `${'most' in budget ? '≤' : '≥'} ${'most' in budget ? budget.most : budget.least}${
    budget.of === 'ratio' ? ' ×' : unit === '' ? '' : ` ${unit}`
  }`;

export const metText = ({ met }: Result): string => (met === undefined ? '-' : met ? 'met' : 'NOT met');

const spread = (figures: Figures | undefined): string =>
  figures ? [figures.min, figures.median, figures.p99].map(numberText).join(' / ') : '-';

/** Where the worst is judged it is told, too. */
const oursText = ({ row, ours }: Result): string =>
  row.judged === 'max' && ours ? `${spread(ours)}, worst ${numberText(ours.max)}` : spread(ours);

const HEAD = ['what', 'unit', 'ours: min / median / p99', 'reference', 'ratio', 'budget', '', 'runs'] as const;

const cellsOf = (result: Result): readonly string[] => [
  result.row.what,
  result.row.unit,
  oursText(result),
  spread(result.reference),
  result.ratio === undefined ? '-' : numberText(result.ratio),
  budgetText(result.row.budget, result.row.unit),
  metText(result),
  result.ours ? String(result.ours.runs) : '-',
];

/** For a terminal. A row that needs a word has it below. */
export function textTable(results: readonly Result[]): string {
  const cells = results.map(cellsOf);
  const widths = HEAD.map((head, i) => Math.max(head.length, ...cells.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (i === 4 || i === 7 ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd();
  return [
    line(HEAD),
    ...results.flatMap(({ note }, i) => [line(cells[i] ?? []), ...(note === undefined ? [] : [`  ${note}`])]),
  ].join('\n');
}

/** For a page, with what each is compared with. */
export function markdownTable(results: readonly Result[]): string {
  const head = [...HEAD.slice(0, 4), 'compared with', ...HEAD.slice(4)];
  const escaped = (text: string): string => text.replaceAll('|', '\\|');
  const line = (cells: readonly string[]): string => `| ${cells.map(escaped).join(' | ')} |`;
  const rows = results.map((result) => {
    const cells = cellsOf(result);
    const what = result.note === undefined ? result.row.what : `${result.row.what} (${result.note})`;
    return line([what, ...cells.slice(1, 4), result.row.against, ...cells.slice(4)]);
  });
  return [line(head), line(head.map(() => '---')), ...rows].join('\n');
}

/** A row as a program reads it. */
export interface JsonRow {
  readonly name: string;
  readonly what: string;
  /** What is judged; null: it was not measured. */
  readonly ours: number | null;
  readonly reference: number | null;
  /** Null where there is none: to a reference of 0, or of what was not measured. */
  readonly ratio: number | null;
  readonly budget: string;
  readonly met: boolean | null;
  readonly unit: string;
  readonly runs: number;
  readonly figures: { readonly ours: Figures | null; readonly reference: Figures | null };
  readonly note?: string;
}

export const jsonRows = (results: readonly Result[]): readonly JsonRow[] => results.map(jsonRow);

function jsonRow({ row, ours, reference, ratio, met, note }: Result): JsonRow {
  const judged = (figures: Figures | undefined): number | null => judgedOf(row, figures) ?? null;
  return {
    name: row.name,
    what: row.what,
    ours: judged(ours),
    reference: judged(reference),
    ratio: ratio ?? null,
    budget: budgetText(row.budget, row.unit),
    met: met ?? null,
    unit: row.unit,
    runs: ours?.runs ?? 0,
    figures: { ours: ours ?? null, reference: reference ?? null },
    ...(note !== undefined && { note }),
  };
}

/** In one line. */
export function summary(results: readonly Result[]): string {
  const count = (met: boolean | undefined): number => results.filter((result) => result.met === met).length;
  return `bench: ${count(true)} met, ${count(false)} not met, ${count(undefined)} left out`;
}

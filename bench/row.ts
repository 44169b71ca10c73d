import { type Figures, figuresOf, medianOf } from './figures.ts';

/** `''`: a count. */
export type Unit = 'ms' | 's' | '/s' | 'MB' | 'KB' | '';

/** What is promised: of our own figure, or of the ratio to the reference. */
export type Budget =
  | { readonly of: 'ours' | 'ratio'; readonly most: number }
  | { readonly of: 'ours' | 'ratio'; readonly least: number };

/** One line of the table. */
export interface Row {
  /** By which it is asked for. */
  readonly name: string;
  readonly what: string;
  readonly unit: Unit;
  /** Which figure of the values counts. */
  readonly judged: 'median' | 'p99' | 'max';
  readonly budget: Budget;
  /** What it is compared with, measured in the same run. */
  readonly against: string;
  /** Whether that is the least that it can take on this machine: 1.3 times as much is good enough. */
  readonly isFloor: boolean;
}

/** What a measurement brought, in the row's unit. */
export interface Measure {
  readonly ours: readonly number[];
  readonly reference: readonly number[];
  /** Each value of ours belongs to that of the reference in its place: the ratio is the median of theirs. */
  readonly paired?: boolean;
  /** Why it is not met, whatever the figures say: something failed on the way. */
  readonly wrong?: string;
  /** How it was, where that is not as usual. */
  readonly note?: string;
}

export interface Result {
  readonly row: Row;
  readonly ours?: Figures;
  readonly reference?: Figures;
  /** Ours to the reference. */
  readonly ratio?: number;
  /** Absent: it was not measured. */
  readonly met?: boolean;
  /** It could not be measured as it should, or something failed on the way. */
  readonly failed?: boolean;
  /** Why it was not measured, or is not met whatever the figures say, or how it was measured. */
  readonly note?: string;
}

/** Within that much of a floor it is good enough. */
const NEAR_FLOOR = 1.3;

export const judgedOf = ({ judged }: Row, figures: Figures | undefined): number | undefined => figures?.[judged];

/** What the table says of a row. */
export function judge(row: Row, { ours: values, reference: others, paired, wrong, note }: Measure): Result {
  const ours = figuresOf(values);
  const reference = figuresOf(others);
  if (!ours) return { row, met: false, failed: true, note: wrong ?? 'nothing was measured' };
  const figure = judgedOf(row, ours) ?? Number.NaN;
  const floor = judgedOf(row, reference);
  const ratio = paired ? pairedRatio(values, others) : ratioOf(figure, floor);
  const judged = row.budget.of === 'ours' ? figure : ratio;
  const isWithin = judged !== undefined && within(row.budget, judged);
  const isNear = row.isFloor && floor !== undefined && near(row.budget, figure, floor);
  return {
    row,
    ours,
    ...(reference && { reference }),
    ...(ratio !== undefined && { ratio }),
    met: wrong === undefined && (isWithin || isNear),
    ...(wrong !== undefined && { failed: true }),
    ...((wrong ?? note) !== undefined && { note: wrong ?? note }),
  };
}

export const leftOut = (row: Row, why: string): Result => ({ row, note: `left out: ${why}` });

/** To nothing there is no ratio. */
const ratioOf = (a: number, b: number | undefined): number | undefined =>
  b === undefined || b === 0 || Number.isNaN(b) ? undefined : a / b;

function pairedRatio(ours: readonly number[], others: readonly number[]): number | undefined {
  const ratios = ours.flatMap((value, i) => ratioOf(value, others[i]) ?? []);
  return ratios.length === 0 ? undefined : medianOf(ratios);
}

const within = (budget: Budget, value: number): boolean =>
  'most' in budget ? value <= budget.most : value >= budget.least;

const near = (budget: Budget, value: number, floor: number): boolean =>
  'most' in budget ? value <= floor * NEAR_FLOOR : value >= floor / NEAR_FLOOR;

import type { Bar } from '../bars.ts';
import type { Measure } from '../row.ts';
import type { Plot } from '../svg.ts';

/** What a measurement needs of the machine, each with how it is told when it is missing. */
export type Need = 'root' | 'perl' | 'small kernel' | 'KVM' | 'packed';

/** What is looked at beside the table: how cost grows, and where it goes. */
export interface Pictures {
  plot(name: string, plot: Plot): void;
  /** Milliseconds of a create by step. */
  steps(bars: readonly Bar[]): void;
}

export interface Run extends Pictures {
  /** How often something is done: the wish, or less where the caller wants less. */
  runs(wanted: number): number;
  /** How many there are of a crowd: all, or a tenth. */
  crowd(wanted: number): number;
  /** Rows that are wanted. */
  wants(row: string): boolean;
  say(text: string): void;
}

/** Measures some rows together, because they come from the same acts. */
export interface Group {
  /** Every row that it measures. */
  readonly rows: readonly string[];
  readonly needs: readonly Need[];
  /** @returns by row; one that is missing could not be measured */
  measure(run: Run): Promise<Readonly<Record<string, Measure>>>;
}

import type { Bar } from './bars.ts';
import { ROWS } from './catalogue.ts';
import { lacks } from './machine.ts';
import type { Group, Run } from './measure/group.ts';
import type { Options } from './options.ts';
import { judge, leftOut, type Result, type Row } from './row.ts';
import { listsAtOnce, rates, stream } from './rows/api.ts';
import { atOnce } from './rows/at-once.ts';
import { CLI } from './rows/cli.ts';
import { creates } from './rows/creates.ts';
import { crowd } from './rows/crowd.ts';
import { execs } from './rows/exec.ts';
import { execStreams } from './rows/exec-streams.ts';
import { exitSeen } from './rows/exit.ts';
import { files } from './rows/files.ts';
import { forwards } from './rows/forward.ts';
import { LINES } from './rows/line.ts';
import { memory } from './rows/memory.ts';
import { providers } from './rows/providers.ts';
import { STARTS } from './rows/starts.ts';
import { stubs } from './rows/stubs.ts';
import type { Plot } from './svg.ts';

/** In the order in which they run. */
export const GROUPS: readonly Group[] = [
  creates,
  ...LINES,
  providers,
  atOnce,
  rates,
  listsAtOnce,
  stream,
  stubs,
  ...STARTS,
  ...CLI,
  execs,
  files,
  forwards,
  execStreams,
  exitSeen,
  memory,
  crowd,
];

export interface Measured {
  readonly results: readonly Result[];
  readonly plots: ReadonlyMap<string, Plot>;
  readonly steps: readonly Bar[];
}

const SMALL = 10;

/** Rows that are asked for. */
export const wantedRows = (only: string | undefined): readonly Row[] =>
  ROWS.filter(({ name }) => only === undefined || name.startsWith(only));

/** Runs one measurement after the other; one that fails keeps none of the others. */
export async function measureAll(
  { only, runs, isSmall }: Pick<Options, 'only' | 'runs' | 'isSmall'>,
  say: (text: string) => void,
  groups: readonly Group[] = GROUPS,
): Promise<Measured> {
  const wanted = new Map(wantedRows(only).map((row) => [row.name, row]));
  const results = new Map<string, Result>();
  const plots = new Map<string, Plot>();
  let steps: readonly Bar[] = [];
  const run: Run = {
    runs: (count) => Math.min(count, runs),
    crowd: (count) => (isSmall ? Math.ceil(count / SMALL) : count),
    wants: (name) => wanted.has(name),
    plot: (name, plot) => void plots.set(name, plot),
    steps: (bars) => {
      steps = bars;
    },
    say,
  };
  for (const group of groups) {
    const rows = group.rows.flatMap((name) => wanted.get(name) ?? []);
    if (rows.length === 0) continue;
    const why = group.needs.flatMap((need) => lacks(need) ?? [])[0];
    const began = performance.now();
    for (const result of why === undefined ? await measured(group, rows, run) : rows.map((row) => leftOut(row, why)))
      results.set(result.row.name, result);
    const names = rows.map(({ name }) => name).join(', ');
    say(
      `${names}: ${why === undefined ? `${((performance.now() - began) / 1_000).toFixed(0)} s` : `left out: ${why}`}`,
    );
  }
  return { results: [...wanted.keys()].flatMap((name) => results.get(name) ?? []), plots, steps };
}

async function measured(group: Group, rows: readonly Row[], run: Run): Promise<readonly Result[]> {
  try {
    const measures = await group.measure(run);
    return rows.map((row) => judge(row, measures[row.name] ?? { ours: [], reference: [] }));
  } catch (error) {
    const note = `it failed: ${error instanceof Error ? error.message : String(error)}`;
    run.say(error instanceof Error ? (error.stack ?? note) : note);
    return rows.map((row) => ({ row, met: false, failed: true, note: note.split('\n')[0] ?? note }));
  }
}

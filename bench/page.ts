import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Bar, textBars } from './bars.ts';
import type { Result } from './row.ts';
import { barsSvg, type Plot, plotSvg } from './svg.ts';
import { markdownTable, summary } from './table.ts';

const BEGIN = '<!-- bench: from here to its end written by npm run bench -- --page -->';
const END = '<!-- bench: end -->';

/** What a run saw beside the rows. */
export interface Seen {
  readonly plots: ReadonlyMap<string, Plot>;
  readonly steps: readonly Bar[];
}

export interface Told extends Seen {
  readonly machine: string;
  readonly results: readonly Result[];
  readonly minutes: number;
  /** As `2026-11-29`. */
  readonly day: string;
}

export const STEPS_TITLE = 'Where the time of a create goes, by step';

/** The part of the page that a run writes. */
export function runText({ machine, results, minutes, day, plots, steps }: Told): string {
  return [
    `Measured on ${day} in ${minutes.toFixed(1)} minutes, on:`,
    '',
    ...machine.split('\n').map((line) => `- ${line}`),
    '',
    markdownTable(results),
    '',
    `${summary(results)}.`,
    ...(steps.length === 0
      ? []
      : [
          '',
          `${STEPS_TITLE}:`,
          '',
          '```text',
          textBars(steps, 'ms'),
          '```',
          '',
          `![${STEPS_TITLE}](performance/steps.svg)`,
        ]),
    ...[...plots].flatMap(([name, { title }]) => ['', `![${title}](performance/${name}.svg)`]),
  ].join('\n');
}

/** @throws Error where the page has no place for it */
export function withRun(page: string, text: string): string {
  const from = page.indexOf(BEGIN);
  const to = page.indexOf(END);
  if (from < 0 || to < from) throw new Error(`the page has no lines "${BEGIN}" and "${END}"`);
  return `${page.slice(0, from + BEGIN.length)}\n\n${text}\n\n${page.slice(to)}`;
}

/** @param docs - the directory of the page */
export function writePage(docs: string, told: Told): void {
  const path = join(docs, 'performance.md');
  writeFileSync(path, withRun(readFileSync(path, 'utf8'), runText(told)));
  const pictures = join(docs, 'performance');
  mkdirSync(pictures, { recursive: true });
  for (const [name, plot] of told.plots) writeFileSync(join(pictures, `${name}.svg`), plotSvg(plot));
  if (told.steps.length > 0)
    writeFileSync(join(pictures, 'steps.svg'), barsSvg(`${STEPS_TITLE} (ms)`, told.steps, 'ms'));
}

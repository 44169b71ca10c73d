/**
 * What Flintlock costs, beside what it must cost on this machine. See --help.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../test/support/daemon.ts';
import { textBars } from './bars.ts';
import { ROWS } from './catalogue.ts';
import { compare, merged, parseRows } from './check.ts';
import { machineText } from './machine.ts';
import { CHECK_HELP, HELP, type Options, optionsOf, Usage } from './options.ts';
import { STEPS_TITLE, writePage } from './page.ts';
import { measureAll, wantedRows } from './run.ts';
import { type JsonRow, jsonRows, summary, textTable } from './table.ts';

const STORED = join(import.meta.dirname, 'stored.json');
const say = (text: string): void => void process.stderr.write(`bench: ${text}\n`);
const print = (text: string): void => void process.stdout.write(`${text}\n`);
const FAILED = 1;
const USAGE = 2;

/** @returns the exit status */
async function main(options: Options): Promise<number> {
  if (options.help) {
    process.stdout.write(options.check ? CHECK_HELP : HELP);
    return 0;
  }
  if (wantedRows(options.only).length === 0)
    throw new Usage(`no row begins with "${options.only}"; --list prints their names`);
  if (options.list) {
    for (const { name, what } of wantedRows(options.only)) print(`${name.padEnd(20)} ${what}`);
    return 0;
  }
  if (options.check) return check(options);
  return (await bench(options)).failed ? FAILED : 0;
}

async function bench(options: Options): Promise<{ readonly rows: readonly JsonRow[]; readonly failed: boolean }> {
  const machine = machineText();
  const began = performance.now();
  const { results, plots, steps } = await measureAll(options, say);
  const minutes = (performance.now() - began) / 60_000;
  const rows = jsonRows(results);
  if (options.json) print(JSON.stringify(rows, null, 2));
  else if (!options.check) {
    print(`${machine}\n`);
    if (options.isSmall) print('Crowds are a tenth (--small): their rows are another measure than the budgets\n');
    print(textTable(results));
    if (steps.length > 0) print(`\n${STEPS_TITLE}:\n${textBars(steps, 'ms')}`);
    print(`\n${summary(results)}; ${minutes.toFixed(1)} minutes`);
  }
  const day = new Date().toISOString().slice(0, 10);
  if (options.page) writePage(join(ROOT, 'docs'), { machine, results, minutes, day, plots, steps });
  if (options.store) {
    const names = ROWS.map(({ name }) => name);
    writeFileSync(STORED, `${JSON.stringify(merged(rows, parseRows(readFileSync(STORED, 'utf8')), names), null, 2)}\n`);
  }
  return { rows, failed: results.some(({ failed }) => failed === true) };
}

async function check(options: Options): Promise<number> {
  const stored = parseRows(readFileSync(STORED, 'utf8'));
  const rows = options.from === undefined ? (await bench(options)).rows : parseRows(readFileSync(options.from, 'utf8'));
  const { worse, compared } = compare(rows, stored);
  for (const line of worse) print(line);
  print(`bench:check: ${compared} ratios compared, ${worse.length} worse by over 20 %`);
  if (compared === 0) print('bench:check: nothing could be compared: keep a run by npm run bench -- --store first');
  return worse.length > 0 || compared === 0 ? FAILED : 0;
}

try {
  process.exitCode = await main(optionsOf(process.argv.slice(2)));
} catch (error) {
  const isUsage = error instanceof Usage || String((error as { code?: unknown }).code).startsWith('ERR_PARSE_ARGS');
  if (!isUsage) throw error;
  process.stderr.write(`bench: ${(error as Error).message}\nTry --help.\n`);
  process.exitCode = USAGE;
}

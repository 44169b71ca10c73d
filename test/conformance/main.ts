/**
 * The conformance suite: every field of the spec, asked of guests that booted
 * with it, and of the host. Needs root. See --help.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GROUPS, rowNames } from './groups.ts';
import { makeImages } from './images.ts';
import { Lab } from './lab.ts';
import { HELP, type Options, optionsOf, Usage } from './options.ts';
import type { Result } from './row.ts';
import { table } from './table.ts';
import { doAll, type Work, type Worked, worksOf } from './work.ts';

const say = (text: string): void => void process.stderr.write(`${text}\n`);

async function main(args: readonly string[]): Promise<number> {
  const options = optionsOf(args);
  if (options.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const all = worksOf(GROUPS, options.only);
  const works = options.sample ? all.filter(({ leftToProofs }) => !leftToProofs) : all;
  const names = rowNames().filter((name) => works.some(({ rows }) => rows.includes(name)));
  if (names.length === 0) throw new Usage(`--only ${options.only.source}: no row is named so; --list shows them`);
  if (options.list) {
    process.stdout.write(`${names.join('\n')}\n`);
    return 0;
  }
  if (process.getuid?.() !== 0) throw new Usage('it makes network devices: run it as root');
  const results = await run(works, options);
  process.stdout.write(options.json ? `${JSON.stringify(results, null, 2)}\n` : table(results));
  count(results, all.flatMap(({ rows }) => rows).length - names.length);
  return results.every(({ ok }) => ok) ? 0 : 1;
}

async function run(works: readonly Work[], { parallel, provider, sample }: Options): Promise<readonly Result[]> {
  const began = performance.now();
  const seconds = (): string => ((performance.now() - began) / 1_000).toFixed(1);
  const scratch = mkdtempSync(join(tmpdir(), 'flintlock-suite-'));
  const labs: Lab[] = [];
  try {
    const images = await makeImages(scratch, sample);
    say(`the suite's images are made (${seconds()} s)`);
    const open = async (hasParent: boolean): Promise<Lab> => {
      const lab = new Lab(images, provider, hasParent);
      labs.push(lab);
      await lab.start();
      return lab;
    };
    const done = ({ work, results, seconds: took }: Worked): void => {
      const wrong = results.filter(({ ok }) => !ok).length;
      say(`${wrong === 0 ? 'ok    ' : 'WRONG '} ${work.name} (${results.length} rows, ${took.toFixed(1)} s)`);
    };
    const again = ({ name }: Work, late: string): void => say(`AGAIN  ${name}, once: ${late}`);
    return await doAll(works, images, parallel, open, done, process.env.CI ? again : undefined);
  } finally {
    await Promise.all(labs.map((lab) => lab.close()));
    rmSync(scratch, { recursive: true, force: true });
    say(`done in ${seconds()} s`);
  }
}

/** For the closing line of `npm test`: see scripts/count-reporter.mjs. */
function count(results: readonly Result[], skipped: number): void {
  const file = process.env.FLINTLOCK_COUNTS;
  const passed = results.filter(({ ok }) => ok).length;
  if (file !== undefined) writeFileSync(file, JSON.stringify({ passed, failed: results.length - passed, skipped }));
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Usage)) throw error;
  say(`conformance: ${error.message}\nTry --help.`);
  process.exitCode = 2;
}

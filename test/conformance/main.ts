/**
 * The conformance suite: every field of the spec, asked of guests that booted
 * with it, and of the host. See --help.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Images, makeImages } from './images.ts';
import { interfaces } from './interfaces.ts';
import { kernel } from './kernel.ts';
import { Lab } from './lab.ts';
import { machine } from './machine.ts';
import { playRefused, playScene } from './play.ts';
import type { Group, Result } from './row.ts';
import { table } from './table.ts';
import { volumes } from './volumes.ts';

const GROUPS: readonly Group[] = [machine, kernel, volumes, interfaces];

const HELP = `Usage: npm run conformance [-- OPTIONS]

Boots real guests with every field of the spec, asks them and the host what
they see, and prints a table: row | expected | seen in guest | seen on host | ok.

  --provider NAME  the provider to try; default: the daemon's own default
  --only PATTERN   rows whose name matches this regular expression
  --parallel N     scenes at once, 1 to 16; a scene boots one to three guests (2)
  -o json          one JSON array on standard output and nothing else
  --list           only the names of the rows
  -h, --help       this text

Exit status: 0 all rows are ok, 1 one is wrong, 2 usage.

Examples:
  npm run conformance
  npm run conformance -- --only '^volumes/' --parallel 4
  npm run --silent conformance -- -o json | jq '.[] | select(.ok | not)'
`;

class Usage extends Error {}

interface Options {
  readonly provider: string;
  readonly only: RegExp;
  readonly parallel: number;
  readonly json: boolean;
  readonly list: boolean;
  readonly help: boolean;
}

function optionsOf(args: readonly string[]): Options {
  let values: Record<string, string | boolean | undefined>;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        provider: { type: 'string', default: '' },
        only: { type: 'string', default: '' },
        parallel: { type: 'string', default: '2' },
        output: { type: 'string', short: 'o', default: 'table' },
        list: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }));
  } catch (error) {
    throw new Usage((error as Error).message);
  }
  const parallel = Number(values.parallel);
  if (!Number.isInteger(parallel) || parallel < 1 || parallel > 16)
    throw new Usage(`--parallel ${values.parallel}: give a number from 1 to 16`);
  if (values.output !== 'json' && values.output !== 'table')
    throw new Usage(`-o ${values.output}: give json, or leave it out for the table`);
  let only: RegExp;
  try {
    only = new RegExp(String(values.only));
  } catch (error) {
    throw new Usage(`--only: ${(error as Error).message}`);
  }
  return {
    provider: String(values.provider),
    only,
    parallel,
    json: values.output === 'json',
    list: values.list === true,
    help: values.help === true,
  };
}

/** One thing to do, with the daemon that it needs. */
interface Work {
  readonly name: string;
  readonly alone: boolean;
  readonly rows: readonly string[];
  run(lab: Lab): Promise<readonly Result[]>;
}

function worksOf(only: RegExp, images: () => Images): readonly Work[] {
  const wanted = (rows: readonly { readonly row: string }[]): string[] =>
    rows.map(({ row }) => row).filter((row) => only.test(row));
  return GROUPS.flatMap(({ scenes, refused }) => [
    ...scenes.map((scene) => ({
      name: scene.name,
      alone: scene.alone === true,
      rows: wanted(scene.rows),
      run: (lab: Lab) =>
        playScene(
          scene,
          scene.rows.filter(({ row }) => only.test(row)),
          lab,
          images(),
        ),
    })),
    ...refused.map((one) => ({
      name: one.row,
      alone: false,
      rows: wanted([one]),
      run: async (lab: Lab) => [await playRefused(one, lab, images())],
    })),
  ]).filter(({ rows }) => rows.length > 0);
}

async function main(): Promise<number> {
  const options = optionsOf(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(HELP);
    return 0;
  }
  let images: Images | undefined;
  const works = worksOf(options.only, () => images as Images);
  const order = works.flatMap(({ rows }) => rows);
  if (order.length === 0) throw new Usage(`--only ${options.only.source}: no row is named so; --list shows them`);
  if (options.list) {
    process.stdout.write(`${order.join('\n')}\n`);
    return 0;
  }
  if (process.getuid?.() !== 0) throw new Usage('it makes network devices: run it as root');

  const began = performance.now();
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  const seconds = (): string => `${((performance.now() - began) / 1_000).toFixed(1)} s`;
  const scratch = mkdtempSync(join(tmpdir(), 'flintlock-suite-'));
  const labs = new Set<Lab>();
  const open = async (): Promise<Lab> => {
    const lab = new Lab(images as Images, options.provider);
    labs.add(lab);
    await lab.start();
    return lab;
  };
  const close = async (): Promise<void> => {
    for (const lab of labs) await lab.close();
    rmSync(scratch, { recursive: true, force: true });
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => void close().finally(() => process.exit(130)));
  try {
    say(`${order.length} rows, ${options.parallel} scenes at once`);
    images = await makeImages(join(scratch, 'images'));
    say(`images made (${seconds()})`);
    let shared: Promise<Lab> | undefined;
    const results: Result[] = [];
    // Those that need most come first.
    const queue = [...works.filter((work) => work.alone), ...works.filter((work) => !work.alone)];
    const worker = async (): Promise<void> => {
      for (let work = queue.shift(); work !== undefined; work = queue.shift()) {
        const at = performance.now();
        shared ??= work.alone ? shared : open();
        const lab = await (work.alone ? open() : (shared as Promise<Lab>));
        const made = await work.run(lab);
        results.push(...made);
        if (work.alone) {
          labs.delete(lab);
          await lab.close();
        }
        const wrong = made.filter((result) => !result.ok).length;
        const took = ((performance.now() - at) / 1_000).toFixed(1);
        say(`${wrong === 0 ? 'ok    ' : 'WRONG '} ${work.name} (${made.length} rows, ${took} s)`);
      }
    };
    await Promise.all(Array.from({ length: options.parallel }, worker));
    results.sort((a, b) => order.indexOf(a.row) - order.indexOf(b.row));
    process.stdout.write(options.json ? `${JSON.stringify(results, null, 2)}\n` : table(results));
    const file = process.env.FLINTLOCK_COUNTS;
    const failed = results.filter((result) => !result.ok).length;
    if (file !== undefined)
      writeFileSync(file, JSON.stringify({ passed: results.length - failed, failed, skipped: 0 }));
    say(`done in ${seconds()}`);
    return failed === 0 ? 0 : 1;
  } finally {
    await close();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof Usage)) throw error;
  process.stderr.write(`conformance: ${error.message}\nTry --help.\n`);
  process.exitCode = 2;
}

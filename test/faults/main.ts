/**
 * Breaks a real daemon at every step of its ledgers and looks from outside at
 * what it leaves. Needs root. See --help.
 */
import { parseArgs } from 'node:util';
import { STAND_INS } from '../support/stand-in-providers.ts';
import { nameOf, pointsOf, sample } from './point.ts';
import { summaryOf, textOf } from './report.ts';
import { explore, isRight, scenariosFor, walk } from './walk.ts';

const HELP = `Usage: npm run faults -- [options]

Kills the daemon (kill -9) before the act, after the act and after the mark of
every ledger step, for creates, deletes, restarts, pulls and prunes, starts it
again, and looks from outside whether anything was lost, left or done twice.
A guest beside, which nothing is done to, tells by its agent that it ran on.
Then lets each step fail, hang, and be run twice.

  --provider NAME  firecracker or cloudhypervisor: a stand-in of it runs the guests; default: QEMU
  --only PATTERN   only the points whose name the regular expression matches
  --sample N       only N of them, spread over all
  --jobs N         hosts at once, each in a network namespace of its own [2]
  --list           print the points' names and do nothing more
  -o json          print all rows as JSON
  --help           print this

The exit status is 0 only when everything was as it should be.

Examples:
  npm run faults
  npm run faults -- --only 'create: tap'
  npm run faults -- --only kill --sample 10
  npm run faults -- --provider firecracker --only vmm
  npm run faults -- -o json > faults.json
`;

const say = (text: string): void => void process.stderr.write(`${text}\n`);

class Usage extends Error {}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      provider: { type: 'string' },
      only: { type: 'string', default: '' },
      sample: { type: 'string' },
      jobs: { type: 'string', default: '2' },
      list: { type: 'boolean', default: false },
      output: { type: 'string', short: 'o' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (values.output !== undefined && values.output !== 'json') throw new Usage('-o takes json');
  if (process.getuid?.() !== 0) throw new Usage('it makes network devices: run it as root');
  const { provider } = values;
  if (provider !== undefined && !STAND_INS.some(({ name }) => name === provider))
    throw new Usage(`--provider takes ${STAND_INS.map(({ name }) => name).join(' or ')}`);
  const only = new RegExp(values.only);
  const began = performance.now();
  const explored = await explore(say, scenariosFor(only), provider);
  const all = pointsOf(explored.met).filter((point) => only.test(nameOf(point)));
  if (all.length === 0) throw new Usage(`--only ${values.only}: no point is named so; --list shows them`);
  const points = values.sample === undefined ? all : sample(all, numberOf('sample', values.sample));
  if (values.list) {
    process.stdout.write(points.map((point) => `${nameOf(point)}\n`).join(''));
    return 0;
  }
  const rows = await walk(points, explored, numberOf('jobs', values.jobs), (row) => {
    const text = textOf(row);
    if (values.output === 'json') say(text);
    else process.stdout.write(`${text}\n`);
  });
  const minutes = (performance.now() - began) / 60_000;
  if (values.output === 'json') process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
  else process.stdout.write(`${summaryOf(rows, explored.met, minutes)}\n`);
  return rows.every(isRight) ? 0 : 1;
}

function numberOf(option: string, text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new Usage(`--${option} takes a whole number above 0`);
  return Number(text);
}

try {
  process.exitCode = await main();
} catch (error) {
  const isUsage = error instanceof Usage || String((error as { code?: unknown }).code).startsWith('ERR_PARSE_ARGS');
  if (!isUsage) throw error;
  say(`faults: ${(error as Error).message}\nTry --help.`);
  process.exitCode = 2;
}

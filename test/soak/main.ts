/**
 * Lets a daemon live through a bad day and looks whether it kept its word.
 * Needs root. See --help.
 */
import { parseArgs } from 'node:util';
import { STAND_INS } from '../support/stand-in-providers.ts';
import { type Figures, Soak } from './soak.ts';

const HELP = `Usage: npm run soak -- [options]

Creates, deletes, stops, starts, reboots, pauses and resumes microVMs at random,
kills their VMMs and the daemon, fills the disk, slows the registry, lets the
clock jump, and has callers that read nothing of what they ask for. A model says at every moment which states each microVM may be
in; a guest with an agent, to which nothing is done, must say itself that it runs on as it was. In the end all are deleted, the audit must be clean, and the daemon must
hold no more than it did at the start.

  --minutes N   how long [20]
  --vms M       microVMs at most [12]
  --seed S      of the random choices; printed where it is not given
  --provider NAME  firecracker or cloudhypervisor: a stand-in of it runs the guests; default: QEMU
  -o json       print the figures as JSON
  --help        print this

The exit status is 0 only when nothing was wrong.

Examples:
  npm run soak
  npm run soak -- --minutes 2 --vms 6 --seed 7
`;

/** What events and records of the deleted are cached; a leak of a descriptor or an object a microVM is far beyond. */
const MORE_HEAP_MB = 8;
const MORE_FDS = 0;

class Usage extends Error {}

function numberOf(option: string, text: string): number {
  const number = Number(text);
  if (!(number > 0 && number < 2 ** 31)) throw new Usage(`--${option} takes a number above 0`);
  return number;
}

const more = (before: Readonly<Record<string, number>>, after: Readonly<Record<string, number>>): string =>
  Object.entries(after)
    .filter(([kind, count]) => count > (before[kind] ?? 0))
    .map(([kind, count]) => `${count - (before[kind] ?? 0)} ${kind}`)
    .join(', ');

function wrongIn({ wrong, before, after }: Figures): readonly string[] {
  return [
    ...wrong,
    ...(after.fds > before.fds + MORE_FDS
      ? [`${after.fds} open files at the end, ${before.fds} at the start: more ${more(before.kinds, after.kinds)}`]
      : []),
    ...(after.heapMb > before.heapMb + MORE_HEAP_MB
      ? [`${after.heapMb} MB of heap at the end, ${before.heapMb} at the start`]
      : []),
  ];
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '20' },
      vms: { type: 'string', default: '12' },
      seed: { type: 'string', default: String(1 + Math.floor(Math.random() * 1e6)) },
      provider: { type: 'string' },
      output: { type: 'string', short: 'o' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (values.output !== undefined && values.output !== 'json') throw new Usage('-o takes json');
  const { provider } = values;
  if (provider !== undefined && !STAND_INS.some(({ name }) => name === provider))
    throw new Usage(`--provider takes ${STAND_INS.map(({ name }) => name).join(' or ')}`);
  if (process.getuid?.() !== 0) throw new Usage('it makes network devices and mounts: run it as root');
  const minutes = numberOf('minutes', values.minutes);
  const seed = numberOf('seed', values.seed);
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  say(`soak: ${minutes} minutes, seed ${seed}`);
  const figures = await new Soak({
    ...{ minutes, seed, vms: Math.floor(numberOf('vms', values.vms)), say },
    ...(provider !== undefined && { provider }),
  }).run();
  const wrong = wrongIn(figures);
  if (values.output === 'json') process.stdout.write(`${JSON.stringify({ ...figures, wrong, seed }, null, 2)}\n`);
  else {
    const { done, checks, canary, before, after } = figures;
    for (const [what, count] of Object.entries(done)) process.stdout.write(`${String(count).padStart(6)}  ${what}\n`);
    process.stdout.write(
      [
        `${String(checks).padStart(6)}  states checked`,
        `Get answered ${canary.asked} times, in ${canary.p50.toFixed(0)} ms (median), ${canary.max.toFixed(0)} ms (the slowest)`,
        `open files ${before.fds} -> ${after.fds}, heap ${before.heapMb} -> ${after.heapMb} MB, RSS ${before.rssMb} -> ${after.rssMb} MB`,
        ...wrong.map((line) => `WRONG: ${line}`),
        `soak: ${wrong.length === 0 ? 'clean' : `${wrong.length} wrong; again with --seed ${seed}`}`,
        '',
      ].join('\n'),
    );
  }
  return wrong.length === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  const isUsage = error instanceof Usage || String((error as { code?: unknown }).code).startsWith('ERR_PARSE_ARGS');
  if (!isUsage) throw error;
  process.stderr.write(`soak: ${(error as Error).message}\nTry --help.\n`);
  process.exitCode = 2;
}

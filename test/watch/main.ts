/** Proves that a watch loses nothing. See --help. */
import { parseArgs } from 'node:util';
import { proveKills } from './kills.ts';
import { type ProofReport, proveSleepers, proveWatch } from './proof.ts';

const HELP = `Usage: npm run watch-proof -- [options] [SEED]

Proves that a watch loses nothing: 200 watchers, 2,000 changes, restarts of
the daemon, and readers that stop reading; as root also the real daemon,
killed twenty times while it makes, changes and deletes microVMs.

  --small   a tenth of it
  --help    print this

SEED chooses the changes [1]. The exit status is 0 only when nothing was wrong, 2 where it was asked in a way that means nothing.

Examples:
  npm run watch-proof
  npm run watch-proof -- --small 7
`;

interface Asked {
  readonly part: number;
  readonly seed: number;
}

/** @returns why it cannot be done as a sentence */
function asked(args: readonly string[]): Asked | 'help' | { readonly wrong: string } {
  try {
    const options = { small: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const;
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    const seed = Number(positionals[0] ?? 1);
    if (values.help) return 'help';
    if (positionals.length > 1 || !Number.isSafeInteger(seed)) return { wrong: 'SEED must be one whole number' };
    return { part: values.small ? 0.1 : 1, seed };
  } catch (error) {
    return { wrong: error instanceof Error ? error.message : String(error) };
  }
}

const what = asked(process.argv.slice(2));
if (what === 'help') {
  process.stdout.write(HELP);
  process.exit();
}
if ('wrong' in what) {
  process.stderr.write(`watch-proof: ${what.wrong}; see npm run watch-proof -- --help\n`);
  process.exit(2);
}
const { part, seed } = what;

/** @returns the figures in words, once what is wrong is told */
function told({ changes, comings, told, faults }: ProofReport, began: number): string {
  for (const fault of faults.slice(0, 50)) console.log(fault);
  const count = (word: string): number => faults.filter((fault) => fault.includes(`${word}: `)).length;
  return (
    `${changes} changes, ${comings} comings, ${told} events told: ${count('lost')} lost, ${count('twice')} twice, ` +
    `${count('out of order')} out of order, ${faults.length} faults in ${((performance.now() - began) / 1_000).toFixed(1)} s`
  );
}

const say = (text: string): void => void process.stderr.write(`${text}\n`);
const watchers = 200 * part;
say(`${watchers} watchers of a daemon within this process: up to two minutes`);
let began = performance.now();
const report = await proveWatch({
  ...{ watchers, overEach: Math.ceil(20 * part), changes: 2_000 * part, restarts: 2 },
  ...{ seed, timeoutMs: 120_000 },
});
console.log(`watch: ${watchers} watchers, ${report.rolledBack} transactions rolled back, ${told(report, began)}`);
const sleepers = await proveSleepers(['grpc', 'http'], AbortSignal.timeout(60_000));
const mib = (bytes: number): string => `${(bytes / 1_048_576).toFixed(1)} MiB`;
for (const { way, heldBytes, writtenBytes, isTold, hasGap } of sleepers)
  console.log(
    `a reader over ${way} that stopped: ${mib(heldBytes)} of ${mib(writtenBytes)} were on the way to it, ` +
      `${hasGap ? 'with a gap' : 'without a gap'}; then it was ${isTold ? '' : 'NOT '}told that it is too late`,
  );
let killedFaults = 0;
if (process.getuid?.() === 0) {
  const few = 60 * part;
  const kills = 20 * part;
  say(`${few} watchers of the real daemon, which is killed ${kills} times: up to four minutes`);
  began = performance.now();
  const killed = await proveKills({
    ...{ watchers: few, changes: 2_000 * part, callers: 4, kills },
    ...{ seed, timeoutMs: 240_000 },
  });
  killedFaults = killed.faults.length;
  console.log(`watch: ${few} watchers of the real daemon, ${killed.kills} times kill -9, ${told(killed, began)}`);
} else console.log('The real daemon was not killed: that needs root');
const isWrong =
  report.faults.length + killedFaults > 0 ||
  sleepers.some((one) => !one.isTold || one.hasGap || one.heldBytes > one.writtenBytes / 2);
process.exitCode = isWrong ? 1 : 0;

/**
 * Fuzzes a real daemon in a network namespace of its own. Run as root, by
 * `npm run fuzz -- [--requests N] [--seconds S] [--seed N] [--from N]`.
 */
import { parseArgs } from 'node:util';
import { fuzz, memoryText } from './run.ts';
import { FuzzTarget } from './target.ts';

const USAGE = `Does to a real daemon whatever callers may do, and counts what must not be.

  npm run fuzz
  npm run fuzz -- --requests 2000 --seconds 20
  npm run fuzz -- --seed 42 --from 1234 --requests 1

  --requests N  so many attacks, 100000 by default
  --seconds S   at most so long, 1800 by default
  --seed N      which attacks: the same seed makes the same ones; by default another each time
  --from N      begin with the Nth of them

It ends with the line "fuzz: N requests, C crashes, I INTERNAL or UNKNOWN, F other findings" and status 1 if any is not 0.
`;

const { values } = parseArgs({
  options: {
    ...{ requests: { type: 'string' }, seconds: { type: 'string' }, seed: { type: 'string' } },
    ...{ from: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  },
});
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
const numberOf = (name: 'requests' | 'seconds' | 'seed' | 'from', standard: number): number => {
  const value = Number(values[name] ?? standard);
  if (Number.isInteger(value) && value >= 0) return value;
  console.error(`fuzz: --${name} must be a whole number`);
  process.exit(2);
};
const seed = numberOf('seed', Math.floor(Math.random() * 2 ** 31));
const target = new FuzzTarget();
let code = 1;
try {
  console.log(`fuzz: seed ${seed}`);
  await target.start();
  const options = { seed, requests: numberOf('requests', 100_000), seconds: numberOf('seconds', 1_800) };
  const report = await fuzz(target, { ...options, from: numberOf('from', 0), say: (line) => console.log(line) });
  const { requests, seconds, answers, findings, canary, before, middle, after } = report;
  for (const [word, count] of [...answers].toSorted((a, b) => b[1] - a[1]))
    console.log(`  ${String(count).padStart(8)}  ${word}`);
  console.log(
    `fuzz: ${(requests / seconds).toFixed(0)} requests a second; before ${memoryText(before)}; in the middle ${memoryText(middle)}; after ${memoryText(after)}`,
  );
  console.log(
    `fuzz: ${canary.count} calls of another caller, median ${canary.medianMs.toFixed(1)} ms, longest ${canary.maxMs.toFixed(0)} ms`,
  );
  const bugs = findings.filter((finding) => finding.includes(': answered ')).length;
  console.log(
    `fuzz: ${requests} requests, 0 crashes, ${bugs} INTERNAL or UNKNOWN, ${findings.length - bugs} other findings`,
  );
  code = findings.length === 0 ? 0 : 1;
} catch (error) {
  console.error(error);
  console.error(target.host.log.slice(-4_000));
  console.log('fuzz: the daemon did not live through it');
} finally {
  await target.host.close();
}
process.exit(code);

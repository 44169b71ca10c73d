/**
 * Proves that a watch loses nothing: 200 watchers, 2,000 changes, restarts of
 * the daemon, and readers that stop reading.
 *
 *     npm run watch-proof [-- SEED]
 */
import { proveSleepers, proveWatch } from './proof.ts';

const seed = Number(process.argv[2] ?? 1);
if (!Number.isSafeInteger(seed)) throw new Error('The seed must be a whole number');
const began = performance.now();
const report = await proveWatch({
  watchers: 200,
  overEach: 20,
  changes: 2_000,
  restarts: 2,
  seed,
  timeoutMs: 120_000,
});
const seconds = ((performance.now() - began) / 1_000).toFixed(1);
for (const fault of report.faults.slice(0, 50)) console.log(fault);
const count = (word: string): number => report.faults.filter((fault) => fault.includes(`: ${word}`)).length;
const { changes, rolledBack, told, comings } = report;
console.log(
  `watch: 200 watchers, ${changes} changes, ${rolledBack} transactions rolled back, ${comings} comings, ${told} events told: ` +
    `${count('lost')} lost, ${count('twice')} twice, ${count('out of order')} out of order, ${report.faults.length} faults in ${seconds} s`,
);
const sleepers = await proveSleepers(['grpc', 'http'], AbortSignal.timeout(60_000));
const mib = (bytes: number): string => `${(bytes / 1_048_576).toFixed(1)} MiB`;
for (const { way, heldBytes, writtenBytes, isTold, hasGap } of sleepers)
  console.log(
    `a reader over ${way} that stopped: ${mib(heldBytes)} of ${mib(writtenBytes)} were on the way to it, ` +
      `${hasGap ? 'with a gap' : 'without a gap'}; then it was ${isTold ? '' : 'NOT '}told that it is too late`,
  );
const isBad =
  report.faults.length > 0 || sleepers.some((one) => !one.isTold || one.hasGap || one.heldBytes > one.writtenBytes / 2);
process.exitCode = isBad ? 1 : 0;

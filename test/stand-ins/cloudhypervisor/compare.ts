/**
 * Compares the stand-in with the real program, on any machine with /dev/kvm:
 *
 *   node test/stand-ins/cloudhypervisor/compare.ts PROGRAM
 *
 * Prints what differs, and ends with 1 where something does.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasOf, seenOf } from './exchanges.ts';
import { makeStandIn } from './program.ts';

const [real = 'cloud-hypervisor'] = process.argv.slice(2);
const directory = mkdtempSync(join(tmpdir(), 'fl-ch-same-'));
try {
  const signal = AbortSignal.timeout(600_000);
  const has = await hasOf(real);
  const mine = await seenOf(makeStandIn(join(directory, 'program')), join(directory, 'files'), signal, has);
  rmSync(join(directory, 'files'), { recursive: true });
  const theirs = await seenOf(real, join(directory, 'files'), signal, has);
  const pairs = [
    ...mine.answers.map((one, i) => [one, theirs.answers[i]] as const),
    ...[
      [mine.statuses, theirs.statuses] as const,
      [mine.events, theirs.events] as const,
      [mine.leaves, theirs.leaves] as const,
    ],
  ].filter(([one, other]) => JSON.stringify(one) !== JSON.stringify(other));
  for (const [one, other] of pairs)
    console.log(`stand-in: ${JSON.stringify(one)}\nreal:     ${JSON.stringify(other)}\n`);
  console.log(`${mine.answers.length} exchanges, ${pairs.length} differences`);
  process.exitCode = pairs.length === 0 ? 0 : 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}

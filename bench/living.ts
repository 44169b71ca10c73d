/**
 * What an act on the network costs by a tool that stays, beside the same by a
 * process of its own: in a network namespace, by turns, so that the noise of
 * the machine falls on both. Compare the ratio, not the milliseconds.
 *
 *     sudo node bench/living.ts [ROUNDS]
 */
import { clock } from '../src/host/clock.ts';
import { files } from '../src/host/files.ts';
import { createNetwork } from '../src/network/network.ts';
import { memoryLog } from '../test/support/memory-log.ts';
import { createNetns } from '../test/support/netns.ts';

const rounds = Number(process.argv[2] ?? 30);
const AT_ONCE = 20;
const TABLE = 'flintlock_bench';
const signal = new AbortController().signal;

await using host = await createNetns();
const hands = { processes: host.processes, files, clock, log: memoryLog() };
const ways = {
  spawned: createNetwork({ run: host.run, ...hands }),
  kept: createNetwork({ run: host.run, living: host.living, ...hands }),
};
type Way = keyof typeof ways;
const tap = (n: number) => ({ device: `flbench${n}`, bridge: 'flbenchbr', alias: `flintlock:bench:${n}` });
const guard = (n: number) => ({ table: TABLE, device: `flbench${n}`, mac: macOf(n), address: `10.77.0.${n + 2}` });
const macOf = (n: number): string => `52:54:00:00:00:${n.toString(16).padStart(2, '0')}`;

await ways.spawned.addBridge({ bridge: 'flbenchbr', alias: 'flintlock:bench', address: '10.77.0.1/24' }, signal);
await ways.spawned.addGuards({ table: TABLE, prefix: 'flbench' }, signal);

const times = new Map<string, Record<Way, number[]>>();
async function timed(what: string, way: Way, act: () => Promise<unknown>): Promise<void> {
  const row = times.get(what) ?? { spawned: [], kept: [] };
  times.set(what, row);
  const begin = performance.now();
  await act();
  row[way].push(performance.now() - begin);
}

const many = Array.from({ length: AT_ONCE }, (_, n) => n);
for (let i = 0; i <= rounds; i++) {
  for (const way of ['spawned', 'kept'] as const) {
    const network = ways[way];
    await timed('add a tap', way, () => network.addTap(tap(1), signal));
    await timed('guard it', way, () => network.addGuard(guard(1), signal));
    await timed('remove the guard', way, () => network.removeGuard(guard(1), signal));
    await timed('remove the tap', way, () => network.removeTap(tap(1), signal));
    if (i % 5 !== 0) continue;
    const all = (act: (n: number) => Promise<unknown>) => () => Promise.all(many.map(act));
    await timed(
      `add ${AT_ONCE} taps at once`,
      way,
      all((n) => network.addTap(tap(n), signal)),
    );
    await timed(
      `guard ${AT_ONCE} at once`,
      way,
      all((n) => network.addGuard(guard(n), signal)),
    );
    await timed(
      `remove ${AT_ONCE} guards at once`,
      way,
      all((n) => network.removeGuard(guard(n), signal)),
    );
    await timed(
      `remove ${AT_ONCE} taps at once`,
      way,
      all((n) => network.removeTap(tap(n), signal)),
    );
  }
  if (i === 0) times.clear(); // what everything does once is behind it
}

const at = (values: readonly number[], share: number): string =>
  (values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * share)] ?? 0).toFixed(1).padStart(7);
process.stdout.write('milliseconds, min median p99            spawned                   kept  ratio of medians\n');
for (const [what, { spawned, kept }] of times) {
  const cells = [spawned, kept].map((values) => [0, 0.5, 0.99].map((share) => at(values, share)).join(''));
  const ratio = Number(at(kept, 0.5)) / Number(at(spawned, 0.5));
  process.stdout.write(`${what.padEnd(26)} ${cells.join('  ')}   ${ratio.toFixed(2)}\n`);
}

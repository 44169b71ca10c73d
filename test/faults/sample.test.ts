import { expect, test } from 'vitest';
import { LEDGER_KINDS } from '../../src/domain/ledger.ts';
import { nameOf, type Point, pointsOf } from './point.ts';
import { SCENARIOS } from './scenarios.ts';
import { explore, isRight, walk } from './walk.ts';

/** One of each sort; `npm run faults` walks them all. */
const SAMPLE = [
  'create: dhcp make after: kill',
  'create: golden make marked: kill',
  'create: vmm make after: kill',
  'delete: vmm unmake before: kill',
  'delete during create: tap unmake after: kill',
  'prune: image-tree unmake after: kill',
  'create: lease make before: hang',
];

/** A walk of seven daemons, two at a time, on a machine that is busy with other tests. */
const WALK_MS = 900_000;

test('killed, hung or done twice at a step, the daemon keeps its word and leaves nothing', {
  timeout: WALK_MS,
}, async () => {
  const explored = await explore(
    () => undefined,
    SCENARIOS.filter(({ name }) => ['create', 'delete', 'prune'].includes(name)),
  );
  // A kind that the walk does not meet is a kind that nobody breaks.
  const met = new Set(explored.met.map(({ kind }) => kind));
  expect(LEDGER_KINDS.filter((kind) => !met.has(kind))).toEqual([]);

  const all = pointsOf(explored.met);
  const points = SAMPLE.map((name) => all.find((point) => nameOf(point) === name)).filter(
    (point): point is Point => point !== undefined,
  );
  expect(points.map(nameOf)).toEqual(SAMPLE);
  const rows = await walk(points, explored, 2, () => undefined);
  expect(rows.filter((row) => !isRight(row))).toEqual([]);
  expect(rows.filter(({ crashes }) => crashes > 0)).toHaveLength(6);
});

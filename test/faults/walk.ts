import { ConnectError } from '@connectrpc/connect';
import { errorMessage } from '../../src/base/error-text.ts';
import { LEDGER_KINDS } from '../../src/domain/ledger.ts';
import { Lab } from './lab.ts';
import { type Met, nameOf, type Point, pointsOf } from './point.ts';
import { IMAGE_KINDS, isBare, SCENARIOS, type Scenario } from './scenarios.ts';
import type { Seen } from './witness.ts';

export interface Row extends Point {
  readonly crashes: number;
  readonly lost: readonly string[];
  readonly leaked: readonly string[];
  readonly doubled: readonly string[];
  /** What could not be walked to its end. */
  readonly failures: readonly string[];
  readonly seconds: number;
}

export const isRight = (row: Row): boolean =>
  [row.lost, row.leaked, row.doubled, row.failures].every((lines) => lines.length === 0);

/** What the host looks like where nothing goes wrong, and which ledger kinds each scenario meets. */
export interface Explored {
  readonly expected: Map<string, Seen>;
  readonly met: readonly Met[];
  /** Absent: the daemon's default. */
  readonly provider?: string;
}

/** The scenarios that must be explored for points of these names, without knowing yet which there are. */
export function scenariosFor(only: RegExp): readonly Scenario[] {
  const kinds = LEDGER_KINDS;
  const names = SCENARIOS.filter(({ name, ways }) =>
    pointsOf(kinds.flatMap((kind) => ways.map((way) => ({ scenario: name, kind, way })))).some((point) =>
      only.test(nameOf(point)),
    ),
  ).map(({ name }) => name);
  // It is told by what these meet, and ends as they do.
  const more = names.includes('delete during create') ? ['delete', 'prune'] : [];
  return SCENARIOS.filter(({ name }) => names.includes(name) || more.includes(name));
}

/** Does each scenario once with a daemon that tells its points and does not break. */
export async function explore(
  say: (text: string) => void,
  scenarios = SCENARIOS,
  provider?: string,
): Promise<Explored> {
  const expected = new Map<string, Seen>();
  const met: Met[] = [];
  const lab = new Lab(expected, provider);
  try {
    await lab.open();
    for (const isBeside of [true, false]) {
      await lab.attend(isBeside);
      await lab.start();
      await lab.remember('gone');
      await lab.host.stop();
    }
    for (const scenario of scenarios)
      for (const kind of scenario.aims) {
        const aim = { kind };
        await lab.attend(!isBare(scenario, aim));
        await scenario.arrange(lab, aim);
        if (scenario.isTeardown) await lab.tearDown('trace');
        else {
          await lab.startBreaking('trace');
          await scenario.act?.(lab, aim);
        }
        const end = await scenario.settle(lab, aim);
        await lab.remember(end);
        await lab.untilSilent();
        met.push(...metIn(lab.told, scenario));
        await restore(lab, scenario, aim);
        await lab.host.stop();
        say(`explored: ${scenario.name}, for ${kind}`);
      }
  } finally {
    await lab.close();
  }
  return { expected, met: unique([...met, ...heldIn(met)]), ...(provider !== undefined && { provider }) };
}

function metIn(told: string, { name, ways, kinds }: Scenario): Met[] {
  return [...told.matchAll(/fault point kind=(\S+) way=(make|unmake) point=before/g)].flatMap(([, kind = '', way]) =>
    ways.some((one) => one === way) && (kinds?.includes(kind) ?? true)
      ? { scenario: name, kind, way: way as Met['way'] }
      : [],
  );
}

/** What is deleted while it is created is all that creates make for one microVM, and images on their way. */
function heldIn(met: readonly Met[]): Met[] {
  const kinds = [...met.filter(({ scenario }) => scenario === 'delete').map(({ kind }) => kind), ...IMAGE_KINDS];
  return kinds.map((kind) => ({ scenario: 'delete during create', kind, way: 'unmake' }));
}

const unique = (met: readonly Met[]): Met[] => [...new Map(met.map((one) => [JSON.stringify(one), one])).values()];

/** Back to where the next point begins; after what touched the images one create more shows that they are unharmed. */
async function restore(lab: Lab, { name, isTeardown }: Scenario, { kind }: Pick<Point, 'kind'>): Promise<void> {
  if (isTeardown) await lab.start();
  await lab.remove();
  const isRenewed = isTeardown || name === 'prune' || name === 'image pull' || IMAGE_KINDS.includes(kind);
  if (isRenewed) {
    await lab.create('service');
    await lab.untilRunning('service');
    await lab.remove();
  }
}

/** Walks points in a few hosts at once. One that something went wrong on is thrown away. */
export async function walk(
  points: readonly Point[],
  { expected, provider }: Explored,
  jobs: number,
  tell: (row: Row) => void,
): Promise<Row[]> {
  const queue = [...points];
  const rows: Row[] = [];
  const work = async (): Promise<void> => {
    let lab: Lab | undefined;
    try {
      for (let point = queue.shift(); point !== undefined; point = queue.shift()) {
        if (!lab) {
          lab = new Lab(expected, provider);
          await lab.open();
          await lab.attend(true); // its images are there from now on, as where it was explored
        }
        const row = await walkOne(lab, point);
        rows.push(row);
        tell(row);
        if (isRight(row)) continue;
        await lab.close();
        lab = undefined;
      }
    } finally {
      await lab?.close();
    }
  };
  await Promise.all(Array.from({ length: Math.min(jobs, points.length) }, work));
  return rows;
}

async function walkOne(lab: Lab, point: Point): Promise<Row> {
  const began = performance.now();
  const wrong = { lost: [] as string[], leaked: [] as string[], doubled: [] as string[], failures: [] as string[] };
  let crashes = 0;
  const check = async (end: string): Promise<void> => {
    const { lost, leaked, doubled } = await lab.differenceTo(end);
    wrong.lost.push(...lost);
    wrong.leaked.push(...leaked);
    wrong.doubled.push(...doubled);
    if (end === 'torn down') return; // no daemon runs that could be asked
    const audit = await lab.host.audit();
    wrong.leaked.push(...audit.leaked.map((line) => `audit: ${line}`));
    wrong.lost.push(...audit.missing.map((line) => `audit: ${line}`));
  };
  try {
    const scenario = scenarioOf(point);
    await lab.attend(!isBare(scenario, point));
    await scenario.arrange(lab, point);
    await breakAt(lab, scenario, point);
    if (point.action === 'kill') {
      crashes = 1;
      if (!scenario.isTeardown) await lab.start();
    }
    await check(await scenario.settle(lab, point));
    if (!scenario.isTeardown) wrong.lost.push(...(await lab.testimony()));
    await restore(lab, scenario, point);
    await check('gone');
    await lab.host.stop();
  } catch (error) {
    const text = errorMessage(error);
    (text.startsWith('LOST') ? wrong.lost : wrong.failures).push(`${text}\n${lab.told.slice(-3_000)}`);
  }
  return { ...point, crashes, ...wrong, seconds: (performance.now() - began) / 1_000 };
}

/** @throws when the point was not reached */
async function breakAt(lab: Lab, scenario: Scenario, point: Point): Promise<void> {
  const { kind, way, at, action } = point;
  const first = scenario.first?.(point);
  const rules = `${first === undefined ? '' : `${first},`}${kind}:${way}:${at}:1:${action}`;
  const isKilled = action === 'kill';
  if (scenario.isTeardown) {
    const status = await lab.tearDown(rules);
    const isExpected = isKilled ? status === 'SIGKILL' : action === 'twice' ? status === 0 : status === 1;
    if (!isExpected) throw new Error(`the teardown ended with ${status}`);
  } else {
    const isUp = await lab.startBreaking(rules);
    if (isUp && isKilled) await lab.trying(async () => scenario.act?.(lab, point));
    else if (isUp) await mayFail(scenario.act?.(lab, point), scenario);
    if (isKilled) {
      const signal = await lab.host.ended(30_000);
      if (signal !== 'SIGKILL') throw new Error(`the daemon ended with ${signal}`);
    }
  }
  if (!lab.told.includes(`breaks here on purpose kind=${kind} way=${way} point=${at} action=${action}`))
    throw new Error('the point was not reached');
}

/** A client that waits for an image is told of the failure, and asks again; one that made a microVM only waits. */
async function mayFail(act: Promise<void> | undefined, { kinds }: Scenario): Promise<void> {
  try {
    await act;
  } catch (error) {
    if (kinds === undefined || !(error instanceof ConnectError)) throw error;
  }
}

function scenarioOf({ scenario }: Point): Scenario {
  const found = SCENARIOS.find(({ name }) => name === scenario);
  if (!found) throw new Error(`there is no scenario ${scenario}`);
  return found;
}

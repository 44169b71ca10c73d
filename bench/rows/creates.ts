import type { Asked, Created } from '../floor/microvm.ts';
import { ExecWatch, monotonic } from '../measure/execs.ts';
import { Floor } from '../measure/floor.ts';
import type { Group, Run } from '../measure/group.ts';
import { Lab } from '../measure/lab.ts';
import type { Measure } from '../row.ts';
import { FIRST_LINE } from './line.ts';

const RUNS = 40;
const COMMITS = 'flintlock_database_commits_total';
const STARTS = 'flintlock_processes_started_total';
/** In the order of a create; what is not among the daemon's steps is left out. */
const STEPS = [
  'image',
  'image-tree',
  'golden',
  'kernel',
  'directory',
  'volume',
  'cidata',
  'lease',
  'tap',
  'guard',
  'metadata',
  'publish',
  'vmm',
];
const stepSeries = (step: string): string => `flintlock_step_duration_seconds_sum{step="${step}",way="make"}`;

type Name = 'create-exec' | 'create-created' | 'create-commits' | 'create-processes' | 'delete';
type Values = Record<Name, number>;

/** One create and its delete, then those of the floor, again and again. */
export const creates: Group = {
  rows: ['create-exec', 'create-created', 'create-commits', 'create-processes', 'delete'],
  needs: ['root'],
  async measure(run: Run) {
    const lab = await Lab.start();
    try {
      using execs = await ExecWatch.start(lab.host.directory);
      await using floor = Floor.start<Asked>(lab.host, 'microvm.ts');
      await prepare(lab, floor);
      await round(lab, execs);
      await floorRound(floor, execs);
      const ours: Values[] = [];
      const reference: Values[] = [];
      const before = await lab.metrics();
      for (let i = 0; i < run.runs(RUNS); i++) {
        ours.push(await round(lab, execs));
        reference.push(await floorRound(floor, execs));
      }
      const after = await lab.metrics();
      const bars = STEPS.map((label) => ({
        label,
        value: ((after(stepSeries(label)) - before(stepSeries(label))) / ours.length) * 1_000,
      }));
      run.steps(bars.filter(({ value }) => value > 0));
      const measureOf = (name: Name): Measure => ({
        ours: ours.map((values) => values[name]),
        reference: reference.map((values) => values[name]),
      });
      return Object.fromEntries(creates.rows.map((name) => [name, measureOf(name as Name)]));
    } finally {
      await lab.close();
    }
  },
};

/** The floor learns from a VMM of the daemon's how one is started; then images and network are there, too. */
export async function prepare(lab: Lab, floor: Floor<Asked>): Promise<void> {
  const uid = await lab.created();
  const { argv } = lab.vmm(uid);
  const tap = argv.map((word) => /^tap,.*ifname=([^,]+)/.exec(word)?.[1]).find((name) => name !== undefined);
  const [link] = JSON.parse(await lab.host.tool('ip', '-j', 'link', 'show', 'dev', tap ?? 'lo')) as {
    master?: string;
  }[];
  const bridge = link?.master;
  if (bridge === undefined) throw new Error('the microVM has no tap on a bridge');
  const directory = `${lab.host.directory}/floor`;
  await floor.ask({ do: 'prepare', argv: ['setpriv', '--no-new-privs', ...argv], directory, bridge, line: FIRST_LINE });
  await lab.gone(uid);
}

async function round(lab: Lab, execs: ExecWatch): Promise<Values> {
  const before = await lab.metrics();
  const { seen } = await execs.look(1);
  const beganAt = monotonic();
  const began = performance.now();
  const uid = await lab.create();
  const created = (await lab.seen(uid, 'CREATED')) - began;
  const after = await lab.metrics();
  const execed = (await seen).get(uid);
  if (execed === undefined) throw new Error(`the VMM of ${uid} was not seen to run`);
  const deleting = performance.now();
  const gone = (await lab.gone(uid)) - deleting;
  const more = (series: string): number => after(series) - before(series);
  return {
    'create-exec': execed - beganAt,
    'create-created': created,
    'create-commits': more(COMMITS),
    'create-processes': more(STARTS) - 1,
    delete: gone,
  };
}

async function floorRound(floor: Floor<Asked>, execs: ExecWatch): Promise<Values> {
  const { seen } = await execs.look(1);
  const { began, created, commits } = await floor.ask<Created>({ do: 'create', count: 1, boots: false });
  const [execed] = (await seen).values();
  if (execed === undefined) throw new Error('the VMM of the floor was not seen to run');
  const gone = await floor.ask<number>({ do: 'delete' });
  return {
    'create-exec': execed - began,
    'create-created': created,
    'create-commits': commits,
    'create-processes': 0,
    delete: gone,
  };
}

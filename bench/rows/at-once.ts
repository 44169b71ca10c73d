import { lineIn } from '../floor/lines.ts';
import type { Asked, Created } from '../floor/microvm.ts';
import { Floor } from '../measure/floor.ts';
import type { Group, Run } from '../measure/group.ts';
import { Lab } from '../measure/lab.ts';
import type { Measure } from '../row.ts';
import { prepare } from './creates.ts';
import { consoleOf, FIRST_LINE } from './line.ts';

const COUNT = 20;
const RUNS = 4;

/** Twenty guests at once, to the first line of each: the daemon's, then the floor's. */
export const atOnce: Group = {
  rows: ['at-once-created', 'at-once-loop-p99', 'at-once-loop-worst', 'at-once-deleted'],
  needs: ['root'],
  async measure(run: Run) {
    const lab = await Lab.start();
    try {
      await using floor = Floor.start<Asked>(lab.host, 'microvm.ts');
      await prepare(lab, floor);
      const rounds: { ours: Round; floor: Round }[] = [];
      for (let i = 0; i < run.runs(RUNS); i++) rounds.push({ ours: await ours(lab), floor: await floors(floor) });
      const measureOf = (pick: (one: Round) => number): Measure => ({
        ours: rounds.map((round) => pick(round.ours)),
        reference: rounds.map((round) => pick(round.floor)),
      });
      return {
        'at-once-created': measureOf(({ created }) => created / 1_000),
        'at-once-loop-p99': measureOf(({ loop }) => loop.p99),
        'at-once-loop-worst': measureOf(({ loop }) => loop.max),
        'at-once-deleted': measureOf(({ deleted }) => deleted),
      };
    } finally {
      await lab.close();
    }
  },
};

interface Round {
  readonly created: number;
  readonly deleted: number;
  readonly loop: { readonly p99: number; readonly max: number };
}

async function ours(lab: Lab): Promise<Round> {
  await lab.resetLateness();
  const began = performance.now();
  const uids = await Promise.all(Array.from({ length: COUNT }, () => lab.create()));
  const created = Math.max(...(await Promise.all(uids.map((uid) => lab.seen(uid, 'CREATED'))))) - began;
  await Promise.all(uids.map((uid) => lineIn(consoleOf(lab, uid), FIRST_LINE)));
  const loop = await lab.lateness();
  const deleting = performance.now();
  const deleted = Math.max(...(await Promise.all(uids.map((uid) => lab.gone(uid))))) - deleting;
  return { created, deleted, loop };
}

async function floors(floor: Floor<Asked>): Promise<Round> {
  const { created, loop } = await floor.ask<Created>({ do: 'create', count: COUNT, boots: true });
  return { created, loop, deleted: await floor.ask<number>({ do: 'delete' }) };
}

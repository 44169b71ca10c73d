import { create, toBinary } from '@bufbuild/protobuf';
import { GetMicroVMRequestSchema } from '../../src/gen/flintlock/microvm/v1/microvms_pb.ts';
import { medianOf } from '../figures.ts';
import type { Asked, Created } from '../floor/microvm.ts';
import { Floor } from '../measure/floor.ts';
import type { Group, Run } from '../measure/group.ts';
import { Lab } from '../measure/lab.ts';
import { Wire } from '../measure/wire.ts';
import type { Measure } from '../row.ts';
import { prepare } from './creates.ts';

const COUNT = 200;
const RUNS = 3;
const PAUSE_MS = 5;
/** Of the plot. */
const STEPS = [1, 10, 25, 50, 100];

/** Many creates at once where no guest takes the CPU: what the daemon itself can do, and how the API is meanwhile. */
export const stubs: Group = {
  rows: ['stubs-created', 'stubs-api'],
  needs: ['root', 'perl'],
  async measure(run: Run) {
    const lab = await Lab.start({ stub: true });
    try {
      await using floor = Floor.start<Asked>(lab.host, 'microvm.ts');
      await prepare(lab, floor);
      const other = await lab.created();
      using wire = await Wire.open(lab.host.socket);
      const get = toBinary(GetMicroVMRequestSchema, create(GetMicroVMRequestSchema, { uid: other }));
      const asking = () => ask(() => wire.call('GetMicroVM', get));
      const points: [number, number][] = [];
      for (const count of STEPS.filter((one) => one < run.crowd(COUNT))) points.push([count, await crowd(lab, count)]);
      const rates: { ours: number; reference: number }[] = [];
      const gets: { ours: number[]; reference: number[] } = { ours: [], reference: [] };
      let wrong: string | undefined;
      const count = run.crowd(COUNT);
      for (let i = 0; i < run.runs(RUNS); i++) {
        const quiet = asking();
        await new Promise((resolve) => setTimeout(resolve, 2_000));
        gets.reference.push(...(await quiet.stop()));
        const busy = asking();
        try {
          const took = await crowd(lab, count);
          points.push([count, took]);
          const { created } = await beside(busy, () => floor.ask<Created>({ do: 'create', count, boots: false }));
          rates.push({ ours: (count * 1_000) / took, reference: (count * 1_000) / created });
          await floor.ask({ do: 'delete' });
        } catch (error) {
          wrong = `a create failed: ${error instanceof Error ? error.message : String(error)}`;
        }
        gets.ours.push(...(await busy.stop()));
      }
      run.plot('creates-at-once', {
        title: 'Creates at once, stub VMM: until all are CREATED',
        x: 'creates at once',
        y: 'milliseconds',
        lines: [{ label: 'all CREATED', points: medians(points) }],
      });
      const failed = wrong === undefined ? {} : { wrong };
      return {
        'stubs-created': {
          ours: rates.map(({ ours }) => ours),
          reference: rates.map(({ reference }) => reference),
          ...failed,
        } satisfies Measure,
        'stubs-api': gets,
      };
    } finally {
      await lab.close();
    }
  },
};

/** @returns milliseconds until all of them are CREATED; then they are taken away */
async function crowd(lab: Lab, count: number): Promise<number> {
  const began = performance.now();
  const uids = await Promise.all(Array.from({ length: count }, () => lab.create()));
  const took = Math.max(...(await Promise.all(uids.map((uid) => lab.seen(uid, 'CREATED'))))) - began;
  await Promise.all(uids.map((uid) => lab.gone(uid)));
  return took;
}

/** Asks again and again, as a client that is in no hurry. @returns how long each answer took */
function ask(call: () => Promise<unknown>): { stop(): Promise<readonly number[]> } {
  const took: number[] = [];
  let isOver = false;
  const asking = (async () => {
    while (!isOver) {
      const began = performance.now();
      await call();
      took.push(performance.now() - began);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  })();
  return {
    async stop() {
      isOver = true;
      await asking;
      return took;
    },
  };
}

/** The floor's turn is none of the daemon's: what is asked meanwhile is not counted. */
async function beside<T>(asking: { stop(): Promise<readonly number[]> }, act: () => Promise<T>): Promise<T> {
  await asking.stop();
  return act();
}

function medians(points: readonly (readonly [number, number])[]): [number, number][] {
  return [...Map.groupBy(points, ([x]) => x)].map(([x, all]) => [x, medianOf(all.map(([, y]) => y))]);
}

import type { Asked } from '../floor/microvm.ts';
import { Floor } from '../measure/floor.ts';
import type { Group, Run } from '../measure/group.ts';
import { Lab } from '../measure/lab.ts';
import { prepare } from './creates.ts';

const RUNS = 20;

/** How soon a watcher hears of a VMM that ends: from the signal to the event. */
export const exitSeen: Group = {
  rows: ['exit-seen'],
  needs: ['root', 'perl'],
  async measure(run: Run) {
    const lab = await Lab.start({ stub: true });
    try {
      await using floor = Floor.start<Asked>(lab.host, 'microvm.ts');
      await prepare(lab, floor);
      const ours: number[] = [];
      const reference: number[] = [];
      for (let i = 0; i < run.runs(RUNS); i++) {
        const uid = await lab.created();
        const { pid } = lab.vmm(uid);
        const began = performance.now();
        process.kill(pid, 'SIGKILL');
        ours.push((await lab.seen(uid, 'FAILED')) - began);
        await lab.gone(uid);
        await floor.ask({ do: 'create', count: 1, boots: false });
        reference.push(await floor.ask<number>({ do: 'exit' }));
        await floor.ask({ do: 'delete' });
      }
      return { 'exit-seen': { ours, reference } };
    } finally {
      await lab.close();
    }
  },
};

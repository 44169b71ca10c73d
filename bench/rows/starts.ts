import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, TestHost } from '../../test/support/daemon.ts';
import type { Group, Run } from '../measure/group.ts';
import { unpacked } from '../measure/packed.ts';
import { floorSocket, floorStart, type Started, startOnce } from '../measure/starts.ts';
import type { Measure } from '../row.ts';

const RUNS = 12;
/** Idle is what it is some time after its start. */
const REST_MS = 5_000;
const MB = 1e6;
const IDLE_RUNS = 3;

/** A daemon that starts, by turns with the least that can start; and what it holds when nothing is asked of it. */
function startGroup(rows: readonly string[], isPacked: boolean): Group {
  return {
    rows,
    needs: isPacked ? ['root', 'packed'] : ['root'],
    async measure(run: Run) {
      const host = new TestHost({ flags: ['--managed-network', '10.64.0.0/16', '--qemu-accel', 'tcg'] });
      using packed = isPacked ? unpacked() : undefined;
      try {
        await host.hold();
        const program = packed?.program('flintlockd') ?? join(ROOT, 'bin/flintlockd');
        const directory = join(host.directory, 'floor');
        mkdirSync(directory);
        const ours = (restMs = 0): Promise<Started> =>
          startOnce(host, [program, 'run', ...host.flags], host.socket, restMs);
        const floor = (restMs = 0): Promise<Started> =>
          startOnce(host, floorStart(directory, program), floorSocket(directory), restMs);
        await ours(); // the state directory is made
        await floor();
        const [start = '', idle] = rows;
        const seconds = { ours: [] as number[], reference: [] as number[] };
        for (let i = 0; i < run.runs(RUNS); i++) {
          seconds.ours.push((await ours()).answered / 1_000);
          seconds.reference.push((await floor()).answered / 1_000);
        }
        const measures: Record<string, Measure> = { [start]: seconds };
        if (idle === undefined || !run.wants(idle)) return measures;
        const held = { ours: [] as number[], reference: [] as number[] };
        for (let i = 0; i < Math.min(IDLE_RUNS, run.runs(IDLE_RUNS)); i++) {
          held.ours.push((await ours(REST_MS)).rss / MB);
          held.reference.push((await floor(REST_MS)).rss / MB);
        }
        return { ...measures, [idle]: held };
      } finally {
        await host.close();
      }
    },
  };
}

export const STARTS: readonly Group[] = [
  startGroup(['start-packed', 'memory-packed'], true),
  startGroup(['start-checkout', 'memory-checkout'], false),
];

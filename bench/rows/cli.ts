import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from '../../test/support/daemon.ts';
import type { Group, Run } from '../measure/group.ts';
import { Lab } from '../measure/lab.ts';
import { unpacked } from '../measure/packed.ts';
import type { Measure } from '../row.ts';

const RUNS = 25;
const OTHERS = 3;
const exec = promisify(execFile);

/** `flintlock list`, by turns with a Node that does nothing. */
function cliGroup(row: string, isPacked: boolean): Group {
  return {
    rows: [row],
    needs: isPacked ? ['root', 'perl', 'packed'] : ['root', 'perl'],
    async measure(run: Run) {
      const lab = await Lab.start({ stub: true });
      using packed = isPacked ? unpacked() : undefined;
      try {
        await Promise.all(Array.from({ length: OTHERS }, () => lab.created()));
        const program = packed?.program('flintlock') ?? join(ROOT, 'bin/flintlock');
        const list = async (): Promise<number> => {
          const began = performance.now();
          const { stdout } = await exec(program, ['--host', `unix://${lab.host.socket}`, 'list']);
          const took = performance.now() - began;
          if (!stdout.includes('bench-1')) throw new Error(`flintlock list says: ${stdout}`);
          return took;
        };
        const nothing = async (): Promise<number> => {
          const began = performance.now();
          await exec(process.execPath, ['-e', '0']);
          return performance.now() - began;
        };
        await list();
        await nothing();
        const ours: number[] = [];
        const reference: number[] = [];
        for (let i = 0; i < run.runs(RUNS); i++) {
          ours.push(await list());
          reference.push(await nothing());
        }
        return { [row]: { ours, reference, paired: true } satisfies Measure };
      } finally {
        await lab.close();
      }
    },
  };
}

export const CLI: readonly Group[] = [cliGroup('cli-packed', true), cliGroup('cli-checkout', false)];

import { ROOT, type SpecInit } from '../../test/support/daemon.ts';
import { lineIn } from '../floor/lines.ts';
import type { Asked } from '../floor/microvm.ts';
import { Floor } from '../measure/floor.ts';
import type { Group, Need, Run } from '../measure/group.ts';
import { Lab, type LabOptions } from '../measure/lab.ts';
import type { Measure } from '../row.ts';

/** What our initrd says first. */
export const FIRST_LINE = 'flintlock-initrd: ';
const SMALL = `oci:${ROOT}/.cache/images/kernel:latest`;
const RUNS = 12;

/** Where the daemon has a guest's console. */
export const consoleOf = (lab: Lab, uid: string): string => `${lab.host.state}/vm/${uid}/console.log`;

function lineGroup(row: string, needs: readonly Need[], options: LabOptions, change: Partial<SpecInit>): Group {
  return {
    rows: [row],
    needs: ['root', ...needs],
    async measure(run: Run) {
      const lab = await Lab.start(options);
      try {
        await using floor = Floor.start<Asked>(lab.host, 'microvm.ts');
        await round(lab, floor, change); // images are pulled, the network is made
        const rounds = [];
        for (let i = 0; i < run.runs(RUNS); i++) rounds.push(await round(lab, floor, change));
        const measure: Measure = {
          ours: rounds.map(({ ours }) => ours),
          reference: rounds.map(({ hand }) => hand),
          paired: true,
        };
        return { [row]: measure };
      } finally {
        await lab.close();
      }
    },
  };
}

/** The daemon's guest to its first line, then the same command on the same files once the daemon's own has ended. */
async function round(lab: Lab, floor: Floor<Asked>, change: Partial<SpecInit>) {
  const began = performance.now();
  const uid = await lab.create(change);
  const console = consoleOf(lab, uid);
  await Promise.all([lineIn(console, FIRST_LINE), lab.seen(uid, 'CREATED')]);
  const ours = performance.now() - began;
  const { pid, argv } = lab.vmm(uid);
  process.kill(pid, 'SIGKILL');
  await lab.seen(uid, 'FAILED');
  // The program was what is run by now: what starts it is of the daemon's choice, and a part of the command.
  const starter = ['setpriv', '--no-new-privs'];
  // Nobody tells it to go on.
  const words = argv.filter((word) => word !== '-S');
  const hand = await floor.ask<number>({ do: 'hand', argv: [...starter, ...words], console, line: FIRST_LINE });
  await lab.gone(uid);
  return { ours, hand };
}

/** A kernel of our own: see `npm run images`. */
const small: Partial<SpecInit> = { kernel: { image: SMALL, cmdline: 'quiet' } as SpecInit['kernel'] };

export const LINES: readonly Group[] = [
  lineGroup('create-line', [], {}, {}),
  lineGroup('small-line', ['small kernel'], {}, small),
  lineGroup('kvm-line', ['KVM'], { accel: 'kvm' }, {}),
];

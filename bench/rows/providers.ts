import { makeImage } from '../../guest/make-image.ts';
import { idleKernel } from '../../test/faults/idle-kernel.ts';
import { newc } from '../../test/support/boot-bytes.ts';
import { standInHost } from '../../test/support/stand-in-providers.ts';
import { ExecWatch, monotonic } from '../measure/execs.ts';
import type { Group, Run } from '../measure/group.ts';
import { Lab } from '../measure/lab.ts';
import type { Measure } from '../row.ts';

const RUNS = 15;
/** With which the others are compared: it needs no KVM, and so its own program runs here. */
const FIRST = 'qemu';

/** The rows of a daemon, each with the provider that it asks for. */
const DAEMONS: readonly { readonly flags: readonly string[]; readonly rows: Readonly<Record<string, string>> }[] = [
  {
    flags: ['--firecracker-jail', 'off'],
    rows: { 'provider-firecracker': 'firecracker', 'provider-cloudhypervisor': 'cloudhypervisor' },
  },
  { flags: [], rows: { 'provider-jail': 'firecracker' } },
];

/**
 * What a create under another VMM takes more than under QEMU until the VMM's own program runs: a stand-in, whose own time does not count. The
 * guest has an initrd and an interface, and no disk: what their copies take is the file system's to say.
 */
export const providers: Group = {
  rows: DAEMONS.flatMap(({ rows }) => Object.keys(rows)),
  needs: ['root', 'perl'],
  async measure(run: Run) {
    const measured: Record<string, Measure> = {};
    for (const { flags, rows } of DAEMONS) Object.assign(measured, await measureDaemon(flags, rows, run));
    return measured;
  },
};

async function measureDaemon(
  flags: readonly string[],
  rows: Readonly<Record<string, string>>,
  run: Run,
): Promise<Readonly<Record<string, Measure>>> {
  const { directory, options, remove, ...standIns } = standInHost();
  const lab = await Lab.start({ host: options, flags: [...standIns.flags, ...flags] });
  try {
    const image = makeImage({
      ...{ layout: `${lab.host.images}/providers`, tag: 'idle' },
      files: { '/boot/vmlinux': idleKernel(), '/initrd': newc() },
    });
    using execs = await ExecWatch.start(lab.host.directory, directory);
    const spec = { kernel: { image, cmdline: 'quiet' }, initrd: { image, filename: 'initrd' }, volumes: [] };
    const timed = async (provider: string): Promise<number> => {
      const { seen } = await execs.look(1);
      const began = monotonic();
      const uid = await lab.create({ ...spec, provider });
      await lab.seen(uid, 'CREATED');
      const at = (await seen).get(uid);
      if (at === undefined) throw new Error(`the VMM of ${uid} was not seen to run`);
      await lab.gone(uid);
      return at - began;
    };
    const names = [FIRST, ...Object.values(rows)];
    const times = new Map<string, number[]>(names.map((name) => [name, []]));
    for (const name of names) await timed(name); // what the first of each makes
    for (let i = 0; i < run.runs(RUNS); i++) for (const name of names) times.get(name)?.push(await timed(name));
    const reference = times.get(FIRST) ?? [];
    const more = (name: string): number[] =>
      (times.get(name) ?? []).map((value, i) => value - (reference[i] ?? Number.NaN));
    return Object.fromEntries(
      Object.entries(rows).map(([row, name]) => [row, { ours: more(name), reference, paired: false }]),
    );
  } finally {
    await lab.close();
    remove();
  }
}

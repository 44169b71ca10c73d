/**
 * Every command of package.json that starts something is ended at some moment,
 * by each of the signals that people, time limits and service managers send,
 * to itself and to its whole group: nothing may be left. Each in a process,
 * mount and network namespace of its own, so that what is left there is its.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { ROOT } from '../support/daemon.ts';
import { leaveToProofs } from '../support/proofs.ts';
import { SCRIPT_FORMS } from '../support/script-forms.ts';
import type { Ended, Ending } from './ends-inside.ts';

const exec = promisify(execFile);

/** Another one ends them at other moments; it is printed with whatever is found. */
const SEED = Number(process.env.FLINTLOCK_ENDS_SEED ?? 20_261_129);
/** An end takes a second or two; a busy machine some more. */
const PATIENCE_MS = 600_000;
/** After a guest's start: while the next ones come, and the first one boots. */
const SOON_MS = 3_000;
const SIGNALS = ['SIGTERM', 'SIGHUP', 'SIGINT'] as const;
const TO = ['group', 'itself'] as const;
/** Those with most to leave are ended once more, when their first guest is there. */
const HEAVY = ['conformance', 'soak', 'faults', 'e2e', 'bench', 'quickstart'];

/** The same seed, the same numbers. @see https://en.wikipedia.org/wiki/Linear_congruential_generator */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const random = randomFrom(SEED);
const endings = Object.entries(SCRIPT_FORMS).flatMap(([name, { args = [], spanMs }], index): Ending[] => {
  if (spanMs === undefined) return [];
  const times = HEAVY.includes(name) ? 2 : 1;
  return Array.from({ length: times }, (_, time) => ({
    mark: `flt-ends-${process.pid}-${index}-${time}`,
    ...{ name, args, signal: SIGNALS[(index + time) % SIGNALS.length] ?? 'SIGTERM' },
    ...{ to: TO[(Math.floor(index / SIGNALS.length) + time) % TO.length] ?? 'group' },
    beside: time > 0 ? 'qemu-system' : 'npm',
    // Not before there is anybody to hear it.
    afterMs: Math.round(300 + random() * (time > 0 ? SOON_MS : spanMs)),
  }));
});

test.for(endings)(
  'npm run $name ends clean by $signal to $to, $afterMs ms after $beside',
  {
    timeout: PATIENCE_MS,
  },
  async (ending, context) => {
    // Those that leave most stand for the others, for whom the same guard is at work.
    leaveToProofs(context, HEAVY.includes(ending.name) ? ending.beside === 'npm' : ending.name !== 'test');
    const inside = [process.execPath, join(import.meta.dirname, 'ends-inside.ts'), JSON.stringify(ending)];
    onTestFinished(async () => {
      const named = ['-depth', '-type', 'd', '-path', `*/${ending.mark}*`];
      await exec('find', ['/sys/fs/cgroup', ...named, '-exec', 'rmdir', '{}', ';']);
    });
    // One that stays in front of it, to reap what others leave behind.
    const script = `
    for directory in /tmp /var/tmp /dev/shm; do mount -t tmpfs -o mode=1777 tmpfs $directory; done
    ip link set lo up
    "$@"; exit $?`;
    const own = ['--mount', '--propagation', 'private', '--pid', '--mount-proc', '--net', '--fork', '--kill-child'];
    const { stdout } = await exec('unshare', [...own, 'sh', '-c', script, 'sh', ...inside], {
      ...{ cwd: ROOT, timeout: PATIENCE_MS, killSignal: 'SIGKILL', maxBuffer: 64 << 20 },
    });
    const { said, ...found } = JSON.parse(stdout) as Ended;
    expect(found, `seed ${SEED}, ${JSON.stringify(ending)}\n${said}`).toEqual({
      wasThere: true,
      isOver: true,
      left: [],
    });
  },
);

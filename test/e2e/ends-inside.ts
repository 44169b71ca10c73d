/**
 * Runs one command of package.json in the namespaces that it is itself in,
 * ends it by a signal, and prints what is left there, as JSON:
 *
 *     node ends-inside.ts '{"mark":"m1","name":"soak","args":[],"signal":"SIGTERM","to":"group","beside":"qemu","afterMs":400}'
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Ending {
  /** The name of its cgroups, which the caller removes. */
  readonly mark: string;
  /** Of package.json. */
  readonly name: string;
  readonly args: readonly string[];
  readonly signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP';
  /** The command alone, as a service manager may; or its whole process group, as a terminal does and timeout(1). */
  readonly to: 'itself' | 'group';
  /** What it must have started first: a word of a living process's command line. */
  readonly beside: string;
  /** From then on. */
  readonly afterMs: number;
}

export interface Ended {
  /** Whether what it was to start was there. */
  readonly wasThere: boolean;
  /** Whether it has ended in time. */
  readonly isOver: boolean;
  /** What was not there before. */
  readonly left: readonly string[];
  /** The end of what it said. */
  readonly said: string;
}

const ROOT = resolve(import.meta.dirname, '../..');
const OVER_MS = 200_000;
/** The kernel takes processes, mounts and namespaces away a moment after they have ended. */
const SETTLE_MS = 20_000;

const words = (program: string, ...args: readonly string[]): readonly string[] =>
  execFileSync(program, args, { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line !== '');

const namesIn = (directory: string): readonly string[] => {
  try {
    return readdirSync(directory).map((name) => join(directory, name));
  } catch {
    return []; // there is none
  }
};

function processes(): readonly string[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return [];
    try {
      const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, 8).join(' ');
      return argv === '' ? [] : [`process ${pid} ${argv}`];
    } catch {
      return []; // ended meanwhile
    }
  });
}

/**
 * Moves us, and all that comes of us, into cgroups of our own below the ones
 * that we are in, where cgroups are version 1: daemons make theirs there. Of
 * version 2 they make them at the root, which is everybody's: not looked at.
 */
function ownCgroups(mark: string): readonly string[] {
  return readFileSync('/proc/self/cgroup', 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, controller = '', path = ''] = line.split(':');
      if (!['memory', 'pids'].includes(controller)) return [];
      const own = join('/sys/fs/cgroup', controller, path, mark);
      mkdirSync(own);
      writeFileSync(join(own, 'cgroup.procs'), String(process.pid));
      return [own];
    });
}

const directoriesBelow = (path: string): readonly string[] =>
  readdirSync(path, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));

/** Everything that is to be as it was. */
function look(): readonly string[] {
  return [
    ...processes(),
    ...words('cut', '-d ', '-f4,5', '/proc/self/mountinfo').map((line) => `mount ${line}`),
    ...words('ip', '-brief', 'link', 'show').map((line) => `link ${line.split(/[\s@]/)[0]}`),
    ...words('nft', 'list', 'tables').map((line) => `firewall ${line}`),
    ...['/tmp', '/var/tmp', '/dev/shm', '/run/netns', '/run/flintlock'].flatMap(namesIn),
    ...namesIn(join(ROOT, '.cache')).filter((name) => name.includes('/.counts-')),
  ];
}

const { mark, name, args, signal, to, beside, afterMs } = JSON.parse(process.argv[2] ?? '{}') as Ending;
const cgroups = ownCgroups(mark);
const before = new Set(look());
const command = spawn('npm', ['run', name, ...(args.length > 0 ? ['--', ...args] : [])], {
  cwd: ROOT,
  detached: true,
  stdio: ['ignore', 'pipe', 'pipe'],
  // On Node 22 and later npm itself keeps its compiled code in /tmp, for its next start.
  env: { ...process.env, NO_COLOR: '1', NODE_DISABLE_COMPILE_CACHE: '1' },
});
let said = '';
for (const stream of [command.stdout, command.stderr])
  stream.on('data', (data: Buffer) => {
    said = (said + data.toString()).slice(-6_000);
  });
/** Whoever holds its output has not ended. */
const over = new Promise<boolean>((done) => command.once('close', () => done(true)));
let isRunning = true;
void over.then(() => {
  isRunning = false;
});
const end = Date.now() + OVER_MS;
const isThere = (): boolean => processes().some((line) => !before.has(line) && line.includes(beside));
while (isRunning && !isThere() && Date.now() < end) await sleep(20);
const wasThere = isThere();
await Promise.race([over, sleep(afterMs)]);
try {
  process.kill((to === 'group' ? -1 : 1) * (command.pid ?? 0), signal);
} catch {
  // It was quicker.
}
const isOver = await Promise.race([over, sleep(OVER_MS, false)]);
const since = (): readonly string[] => look().filter((thing) => !before.has(thing));
let left = since();
for (const end = Date.now() + SETTLE_MS; left.length > 0 && Date.now() < end; left = since()) await sleep(50);
left = [...left, ...cgroups.flatMap(directoriesBelow).map((path) => `cgroup ${path}`)];
process.stdout.write(JSON.stringify({ wasThere, isOver, left, said } satisfies Ended));
process.exit();

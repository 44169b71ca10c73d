/**
 * Runs a program so that nothing of it is left, however it ends:
 *
 *     node scripts/warden.mjs [--contained[-where-possible]] [--gently SECONDS] [--held] -- PROGRAM [ARGUMENT …]
 *
 * The program gets a directory of its own for what is temporary. With
 * --contained (needs root) it runs in a process and a mount namespace of its
 * own as well: every process that it starts, daemons too, ends with it, and
 * with them their network namespaces and mounts.
 *
 * It ends on SIGINT, SIGTERM and SIGHUP, as often as they come, and with --held
 * when its standard input is closed: so it ends with those that started it
 * through sudo, who may not send it signals. With --gently the program gets SIGTERM first and so long to end by
 * itself. The status is the program's, or 130 when it was ended. A program that
 * ends by itself and leaves processes behind is told, with status 1.
 *
 * Runs on Node 20, without any package.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const INTERRUPTED = 130;
const FAILED = 1;
const USAGE = 2;
/** What is killed is gone at once, but for a disk that hangs; then it is told and left. */
const GONE_MS = 60_000;
/** What a program has asked to end may be about to. */
const SETTLE_MS = 5_000;
const LOOK_MS = 20;

const words = process.argv.slice(2);
const split = words.indexOf('--');
const options = split < 0 ? [] : words.slice(0, split);
const argv = split < 0 ? [] : words.slice(split + 1);
const namespaces = ['--mount', '--propagation', 'private', '--pid', '--mount-proc', '--fork'];
const isContained =
  options.includes('--contained') ||
  // Some containers let nobody mount.
  (options.includes('--contained-where-possible') && spawnSync('unshare', [...namespaces, 'true']).status === 0);
const gently = options.includes('--gently') ? Number(options[options.indexOf('--gently') + 1]) : 0;
if (argv.length === 0 || Number.isNaN(gently)) {
  console.error(
    'usage: node scripts/warden.mjs [--contained[-where-possible]] [--gently SECONDS] [--held] -- PROGRAM [ARGUMENT …]',
  );
  process.exit(USAGE);
}

/** Resolves when the program is to be ended: at the first of all reasons for it. */
const asked = new Promise((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => resolve(signal));
  if (!options.includes('--held')) return;
  for (const event of ['end', 'error', 'close']) process.stdin.on(event, () => resolve('the end of its parent'));
  process.stdin.resume();
});

const scratch = mkdtempSync(join(tmpdir(), 'fl-'));
process.exitCode = await run();
process.exit();

async function run() {
  const child = isContained ? startContained() : start();
  const ended = new Promise((resolve) => {
    child.once('error', (cause) => resolve({ failure: cause.message }));
    child.once('exit', (code, signal) => resolve({ code: code ?? 128 + signalNumber(signal) }));
  });
  /** The program itself has ended; in a namespace what it started may run on. */
  const over = isContained ? Promise.race([told(child.stdio[3]), ended]) : ended;
  let end = await Promise.race([over, asked.then((reason) => ({ reason }))]);
  if (end.reason !== undefined && gently > 0) {
    signal(programOf(child), 'SIGTERM');
    await Promise.race([over, sleep(gently * 1_000)]);
  }
  const left = end.reason === undefined && end.failure === undefined ? await survivors(child) : [];
  const undone = [...(await kill(child)), ...(await clear())];
  if (end.failure !== undefined) console.error(`Cannot run ${argv[0]}: ${end.failure}`);
  for (const line of left) console.error(`It ended and left this running, which is ended now: ${line}`);
  for (const line of undone) console.error(`left: ${line}`);
  if (end.reason !== undefined) {
    if (undone.length === 0) console.error(`ended by ${end.reason}; nothing is left of it`);
    return INTERRUPTED;
  }
  end = end.failure === undefined ? end : { code: FAILED };
  return end.code === 0 && left.length + undone.length > 0 ? FAILED : end.code;
}

function environment(temporary) {
  return { ...process.env, TMPDIR: temporary };
}

/** In a session of its own: signals to our group are for us. */
function start() {
  // Programs that run as users of their own pass through.
  chmodSync(scratch, 0o711);
  return spawn(argv[0], argv.slice(1), {
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: environment(scratch),
  });
}

/**
 * The shell is the first process there. It stays until it is killed, reaps
 * orphans, and says on descriptor 3 how the program ended. When we are killed
 * ourselves, setpriv and unshare see to it that all of it is.
 */
function startContained() {
  const temporary = ['/tmp', '/var/tmp'];
  // Not over what we ourselves are in.
  const isHidden = temporary.some((directory) => import.meta.dirname.startsWith(`${directory}/`));
  const own = isHidden ? [] : temporary;
  chmodSync(scratch, 0o711);
  const mounts = own.flatMap((directory, index) => {
    const at = join(scratch, String(index));
    mkdirSync(at);
    chmodSync(at, 0o1777);
    return [`mount --bind ${at} ${directory}`];
  });
  if (isHidden) chmodSync(scratch, 0o1777);
  const script = `
    set -e
    ${[...mounts].reverse().join('\n')}
    [ ! -d /dev/shm ] || mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    set +e
    "$@" 3>&-
    echo $? >&3
    while :; do sleep 1000000 3>&-; done`;
  return spawn(
    'setpriv',
    [
      ...['--pdeathsig', 'KILL', '--', 'unshare', ...namespaces, '--kill-child'],
      ...['sh', '-c', script, 'sh', ...argv],
    ],
    {
      detached: true,
      stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
      env: environment(isHidden ? scratch : '/tmp'),
    },
  );
}

/** @returns the status that the shell tells */
function told(pipe) {
  return new Promise((resolve) => {
    let text = '';
    pipe.setEncoding('utf8').on('data', (data) => {
      text += data;
      if (text.endsWith('\n')) resolve({ code: Number(text) });
    });
    pipe.on('error', () => {});
  });
}

/** The program's own process. */
function programOf(child) {
  if (!isContained) return child.pid;
  const init = childrenOf(child.pid)[0];
  return init === undefined ? undefined : childrenOf(init)[0];
}

function childrenOf(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return text === '' ? [] : text.split(' ').map(Number);
  } catch {
    return [];
  }
}

/** What still runs some time after the program's end, in words. */
async function survivors(child) {
  for (const end = Date.now() + SETTLE_MS; ; await sleep(LOOK_MS)) {
    const found = running(child);
    if (found.length === 0 || Date.now() > end) return found;
  }
}

function running(child) {
  const init = isContained ? childrenOf(child.pid)[0] : undefined;
  const namespace = init === undefined ? undefined : linkOf(`/proc/${init}/ns/pid`);
  return readdirSync('/proc').flatMap((name) => {
    const pid = Number(name);
    if (!(pid > 0) || pid === init || pid === process.pid) return [];
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const [state, parent, group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (state === 'Z' || state === 'X') return [];
      if (namespace === undefined ? Number(group) !== child.pid : readlinkSync(`/proc/${pid}/ns/pid`) !== namespace)
        return [];
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
        .split('\0')
        .filter((word) => word !== '');
      // The shell's own way to wait.
      if (Number(parent) === init && words[0] === 'sleep' && words[1] === '1000000') return [];
      return [`${pid} ${words.slice(0, 8).join(' ')}`];
    } catch {
      return []; // ended meanwhile
    }
  });
}

function linkOf(path) {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** Kills all of it, and waits for that. @returns what does not end, in words */
async function kill(child) {
  if (child.pid === undefined) return [];
  const init = isContained ? childrenOf(child.pid)[0] : undefined;
  // unshare(1) first, which takes the namespace's first process with it: outliving that, it would complain.
  signal(isContained ? child.pid : -child.pid, 'SIGKILL');
  const end = Date.now() + GONE_MS;
  for (; Date.now() < end; await sleep(LOOK_MS)) {
    const left = init === undefined ? running(child) : isAlive(init) ? [`${init} and what it started`] : [];
    if (left.length === 0) return [];
    if (Date.now() > end - SETTLE_MS && init !== undefined) signal(init, 'SIGKILL');
  }
  return running(child).map((line) => `process ${line}`);
}

function isAlive(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
}

function signal(pid, name) {
  if (pid === undefined) return;
  try {
    process.kill(pid, name);
  } catch {
    // It has ended.
  }
}

/** Removes what is left on disk and in cgroups. @returns what cannot be, in words */
async function clear() {
  const undone = isContained ? await clearCgroups() : [];
  for (const end = Date.now() + GONE_MS; ; await sleep(LOOK_MS))
    try {
      rmSync(scratch, { recursive: true, force: true });
      break;
    } catch (cause) {
      // Its last mount goes a moment after the last process.
      if (Date.now() < end && cause.code !== 'EPERM') continue;
      undone.push(`directory ${scratch}: ${cause.message}`);
      break;
    }
  return undone;
}

/**
 * Daemons name their cgroups after their state directory, as src/domain/names.ts
 * says; every directory below ours may have been one.
 */
async function clearCgroups() {
  const found = spawnSync('find', ['/sys/fs/cgroup', '-depth', '-type', 'd', '-path', '*/flintlock-????*'], {
    encoding: 'utf8',
    maxBuffer: 16 << 20,
  }).stdout;
  const cgroups = (found ?? '').split('\n').filter((path) => path !== '');
  if (cgroups.length === 0) return [];
  const names = new Set(directoriesBelow(scratch, 4).map(cgroupNameOf));
  const undone = [];
  for (const path of cgroups) {
    if (!path.split('/').some((part) => names.has(part))) continue;
    for (const end = Date.now() + SETTLE_MS; ; await sleep(LOOK_MS))
      try {
        rmdirSync(path);
        break;
      } catch (cause) {
        if (cause.code === 'ENOENT') break;
        if (Date.now() < end && cause.code === 'EBUSY') continue;
        undone.push(`cgroup ${path}: ${cause.message}`);
        break;
      }
  }
  return undone;
}

function directoriesBelow(directory, depth) {
  let entries;
  try {
    entries = readdirSync(directory, { withFileTypes: true });
  } catch {
    return [];
  }
  return entries.flatMap((entry) => {
    if (!entry.isDirectory()) return [];
    const path = join(directory, entry.name);
    return [path, ...(depth > 1 ? directoriesBelow(path, depth - 1) : [])];
  });
}

/** By the path that the daemon saw. */
function cgroupNameOf(path) {
  const seen = path.replace(join(scratch, '0'), '/tmp').replace(join(scratch, '1'), '/var/tmp');
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
  const digest = createHash('sha256').update(seen).digest();
  return `flintlock-${[...digest.subarray(0, 4)].map((byte) => alphabet[byte % 32]).join('')}`;
}

function signalNumber(name) {
  return { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 }[name] ?? 0;
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

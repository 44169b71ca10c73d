/**
 * Boots a real microVM and takes it away again, to the last trace:
 *
 *     npm run quickstart
 *
 * The daemon runs on a scratch state directory and in a network namespace of
 * its own, so the machine's network is not touched. Ends with the line
 * `quickstart: ok, guest up in N.N s, 0 leftovers`; its exit status is the
 * truth. Ctrl-C at any point ends everything that it started (status 130).
 */
import { spawn } from 'node:child_process';
import { chmodSync, closeSync, mkdtempSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IMAGES, setup } from './setup.mjs';
import { asRoot, attended, guarded, isRoot, MORE_PATIENCE, main, PATIENCE, ROOT, Stop } from './steps.mjs';

const VM = 'quickstart';
const UP = /^flintlock-guest: up ip=(\S+) volumes=(\S+)/m;
/** Under software emulation it takes 2.5 s; a machine that is a hundred times slower is let live. */
const GUEST_TIMEOUT_MS = 300_000 * PATIENCE;
/** It takes half a second. */
const READY_TIMEOUT_MS = 180_000 * PATIENCE;
const COMMAND_TIMEOUT_MS = 180_000 * PATIENCE;
/** How often is said that something is still waited for. */
const TELL_MS = 10_000;
/** The exit status of flintlock for a microVM that is not there. */
const NOT_FOUND = 3;
/** flintlockd promises 5 s on SIGTERM, of a machine that is not slow. */
const STOP_TIMEOUT_MS = 30_000 * PATIENCE;

/** From the signal to the last trace, the worst case: a delete, a stop, a tear-down. */
const HOW = { contained: 'where possible', gently: 300 * PATIENCE };

const interrupted = new AbortController();

/** Everything of one run, so that it can be taken away from any point. */
class Quickstart {
  /** Short: sockets below it have names of at most 107 bytes. */
  scratch = mkdtempSync(join(tmpdir().length > 30 ? '/tmp' : tmpdir(), 'flintlock-'));
  socket = join(this.scratch, 'run/api.sock');
  directories = ['--state-dir', join(this.scratch, 'state'), '--run-dir', join(this.scratch, 'run')];
  daemon;
  /** Keeps the network namespace when its last process has ended. */
  namespace;
  created = false;
  isReady = false;
  isTornDown = false;

  constructor() {
    // The DHCP server and the VMMs run as users of their own: they pass through, and cannot look around.
    chmodSync(this.scratch, 0o711);
  }

  async run() {
    say(`Starting flintlockd in ${this.scratch}, in a network namespace of its own`);
    await this.startDaemon();

    say('Creating a microVM of 1 CPU and 256 MB from the demo images');
    const begin = Date.now();
    this.created = true;
    await this.flintlock(['create', '-f', '-', '--wait'], { input: JSON.stringify(spec(), null, 2) });

    say('Its console, from the beginning:');
    const [, address, volumes] = await this.untilUp();
    const seconds = ((Date.now() - begin) / 1000).toFixed(1);
    say(`The guest says that it is up, ${seconds} s after the create was asked for.`);
    console.log(`  address  ${address}\n  volumes  ${volumes.replaceAll(',', ', ')}`);
    if (!address.startsWith('10.77.0.')) throw new Stop(`the guest has no address of the managed network: ${address}`);

    say('flintlock list');
    await this.flintlock(['list']);
    say(`flintlock delete ${VM} --wait`);
    await this.flintlock(['delete', VM, '--wait']);
    this.created = false;
    say('flintlock audit: is anything on the host that the ledger does not name?');
    await this.flintlock(['audit']);

    say('Stopping flintlockd and removing its network');
    await this.stopDaemon();
    await this.teardown();
    const leftovers = await this.leftovers();
    for (const leftover of leftovers) console.error(`left over: ${leftover}`);
    if (leftovers.length > 0) throw new Stop(`${leftovers.length} leftovers`);
    return seconds;
  }

  /** unshare and sh become the daemon: the pid stays. Own session: Ctrl-C is for us, we end it in order. */
  async startDaemon() {
    const log = openSync(join(this.scratch, 'flintlockd.log'), 'a', 0o600);
    const flags = [
      ...this.directories,
      ...['--grpc-endpoint', `unix://${this.socket}`, '--image-root', IMAGES, '--managed-network', '10.77.0.0/24'],
    ];
    const inside = ['sh', '-c', 'ip link set lo up && exec "$@"', 'sh', join(ROOT, 'bin/flintlockd'), 'run', ...flags];
    this.daemon = spawn('unshare', ['--net', ...inside], {
      cwd: '/',
      detached: true,
      stdio: ['ignore', 'pipe', log],
    });
    closeSync(log);
    this.daemonEnded = new Promise((resolve) => {
      this.daemon.on('error', resolve);
      this.daemon.on('exit', resolve);
    });
    const ready = new Promise((resolve) => {
      let text = '';
      this.daemon.stdout.on('data', (data) => {
        text += data;
        const line = /^flintlockd ready.*$/m.exec(text);
        if (line) resolve(line[0]);
      });
    });
    const line = await within(
      READY_TIMEOUT_MS,
      'waiting for flintlockd to be ready',
      Promise.race([
        ready,
        this.daemonEnded.then(() => Promise.reject(new Stop(`flintlockd ended at once:\n${this.logTail()}`))),
      ]),
    );
    this.isReady = true;
    console.log(`  ${line}`);
    this.holdNamespace();
  }

  holdNamespace() {
    if (this.namespace !== undefined) return;
    try {
      const path = `/proc/${this.daemon.pid}/ns/net`;
      // Ours as long as unshare has not got that far.
      if (readlinkSync(path) !== readlinkSync('/proc/self/ns/net')) this.namespace = openSync(path, 'r');
    } catch {
      // The daemon is gone; what it left is found by its command line.
    }
  }

  logTail() {
    return readFileSync(join(this.scratch, 'flintlockd.log'), 'utf8').trimEnd().split('\n').slice(-20).join('\n');
  }

  /** Runs the command line tool, its output indented. @throws Stop unless it ends with 0 or `alsoFine` */
  async flintlock(args, { input, signal = interrupted.signal, alsoFine = 0 } = {}) {
    const argv = [join(ROOT, 'bin/flintlock'), '--host', `unix://${this.socket}`, ...args];
    const code = await run(argv, { input, signal, onLine: (line) => console.log(`  ${line}`) });
    if (code !== 0 && code !== alsoFine)
      throw new Stop(`flintlock ${args.join(' ')} ended with status ${code}\n${this.logTail()}`);
  }

  /** Follows the console until the guest's own line. */
  async untilUp() {
    const seen = new AbortController();
    const signal = AbortSignal.any([seen.signal, interrupted.signal]);
    let up;
    const argv = [join(ROOT, 'bin/flintlock'), '--host', `unix://${this.socket}`, 'console', '-f', VM];
    const reading = run(argv, {
      signal,
      onLine: (line) => {
        if (up) return;
        console.log(`  | ${line}`);
        up = UP.exec(line);
        if (up) seen.abort();
      },
    }).catch((cause) => {
      if (!up) throw cause;
    });
    await within(GUEST_TIMEOUT_MS, 'waiting for the guest', reading);
    if (!up) throw new Stop(`the console ended before the guest was up\n${this.logTail()}`);
    return up;
  }

  async stopDaemon() {
    if (this.daemon?.pid === undefined || this.daemon.exitCode !== null || this.daemon.signalCode !== null) return;
    this.holdNamespace();
    this.daemon.kill('SIGTERM');
    const timer = setTimeout(() => this.daemon.kill('SIGKILL'), STOP_TIMEOUT_MS);
    const ended = await this.daemonEnded;
    clearTimeout(timer);
    if (this.daemon.signalCode === 'SIGKILL')
      throw new Stop(`flintlockd did not end within ${STOP_TIMEOUT_MS / 1000} s of SIGTERM`);
    // Before it is ready it may not listen to signals yet.
    if (ended !== 0 && this.isReady) throw new Stop(`flintlockd ended with status ${ended}\n${this.logTail()}`);
  }

  /** Runs a program in the daemon's network namespace, without regard to Ctrl-C. @returns exit status and output */
  async inside(argv) {
    const lines = [];
    // Our own fd: nsenter opens it by our pid.
    const enter = ['nsenter', `--net=/proc/${process.pid}/fd/${this.namespace}`];
    const code = await run([...enter, ...argv], { onLine: (line) => lines.push(line) });
    return { code, lines };
  }

  async teardown() {
    if (this.namespace === undefined || this.isTornDown) return;
    const { code, lines } = await this.inside([join(ROOT, 'bin/flintlockd'), 'teardown', ...this.directories]);
    for (const line of lines) console.log(`  ${line}`);
    if (code !== 0) throw new Stop(`flintlockd teardown ended with status ${code}`);
    this.isTornDown = true;
  }

  /** What is still there after the tear-down, in words. */
  async leftovers() {
    const found = this.processes().map(({ pid, argv }) => `process ${pid}: ${argv.slice(0, 6).join(' ')} …`);
    if (this.namespace === undefined) return found;
    const { lines: links } = await this.inside(['ip', '-brief', 'link', 'show']);
    const { lines: tables } = await this.inside(['nft', 'list', 'tables']);
    const names = links.map((line) => line.split(/[\s@]/)[0]).filter((name) => name !== '' && name !== 'lo');
    return [...found, ...names.map((name) => `interface ${name}`), ...tables.filter((line) => line !== '')];
  }

  /** Processes whose command line names the scratch directory, which nobody else knows. */
  processes() {
    return readdirSync('/proc').flatMap((pid) => {
      if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return [];
      try {
        const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        return argv.some((argument) => argument.includes(this.scratch)) ? [{ pid: Number(pid), argv }] : [];
      } catch {
        return [];
      }
    });
  }

  /** Takes everything away, from wherever the run got to; tells what it could not do in order. */
  async end() {
    const trouble = [];
    const attempt = async (act) => {
      try {
        await act();
      } catch (cause) {
        trouble.push(cause.message);
      }
    };
    const isUp = this.daemon?.exitCode === null && this.daemon.signalCode === null;
    // Its own time limit: the reason why we end must not cut it short. Not found: the create did not get that far.
    if (this.created && isUp)
      await attempt(() =>
        this.flintlock(['delete', VM, '--wait'], {
          signal: AbortSignal.timeout(COMMAND_TIMEOUT_MS),
          alsoFine: NOT_FOUND,
        }),
      );
    await attempt(() => this.stopDaemon());
    await attempt(() => this.teardown());
    for (const { pid } of this.processes()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It ended by itself.
      }
    }
    await attempt(async () => {
      for (const end = Date.now() + STOP_TIMEOUT_MS; this.processes().length > 0; await sleep(20))
        if (Date.now() > end) throw new Stop(`processes that do not end: ${this.processes().map(({ pid }) => pid)}`);
    });
    if (this.namespace !== undefined) closeSync(this.namespace);
    rmSync(this.scratch, { recursive: true, force: true });
    return trouble;
  }
}

/** Two volumes, so that there is something to see: a root that can be written, and a disk that cannot. */
function spec() {
  const source = { container_source: `oci:${IMAGES}/demo:root` };
  return {
    id: VM,
    vcpu: 1,
    memory_in_mb: 256,
    // Without the kernel's own messages, unless they are bad news.
    kernel: { image: `oci:${IMAGES}/demo:kernel`, cmdline: 'loglevel=3' },
    initrd: { image: `oci:${IMAGES}/demo:kernel` },
    volumes: [
      { id: 'root', is_root: true, source },
      { id: 'data', is_read_only: true, source },
    ],
    interfaces: [{ guest_device_name: 'eth0', type: 'TAP' }],
  };
}

/**
 * Runs a program in a session of its own, line by line.
 *
 * @returns its exit status @throws the signal's reason, the program ended
 */
function run([program, ...args], { input = '', onLine, signal }) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const child = spawn(program, args, { detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
    const end = () => child.kill('SIGKILL');
    signal?.addEventListener('abort', end, { once: true });
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    for (const stream of [child.stdout, child.stderr]) {
      let rest = '';
      stream.setEncoding('utf8').on('data', (text) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop();
        for (const line of lines) onLine(printable(line));
      });
      stream.on('end', () => rest !== '' && onLine(printable(rest)));
    }
    child.on('error', reject);
    child.on('close', (code) => {
      signal?.removeEventListener('abort', end);
      if (signal?.aborted) reject(signal.reason);
      else resolve(code ?? 128);
    });
  });
}

/** Without what a guest could do to the terminal. */
function printable(line) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  return line.replace(/\x1b\[[0-9;?]*[A-Za-z]/g, '').replace(/[\x00-\x08\x0b-\x1f\x7f]/g, '');
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Waits for a promise, within a time limit and until Ctrl-C. */
function within(ms, what, promise) {
  return new Promise((resolve, reject) => {
    const begin = Date.now();
    const tell = setInterval(
      () => console.log(`  … ${what}, for ${((Date.now() - begin) / 1000).toFixed(0)} s`),
      TELL_MS,
    );
    const late = setTimeout(() => reject(new Stop(`${what}: nothing within ${ms / 1000} s; ${MORE_PATIENCE}`)), ms);
    const stop = () => reject(interrupted.signal.reason);
    if (interrupted.signal.aborted) stop();
    interrupted.signal.addEventListener('abort', stop, { once: true });
    promise.then(resolve, reject).finally(() => {
      clearTimeout(late);
      clearInterval(tell);
      interrupted.signal.removeEventListener('abort', stop);
    });
  });
}

function say(text) {
  console.log(`\n${text}`);
}

async function quickstart() {
  let times = 0;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
    process.on(signal, () => {
      if (times++ === 0) console.error('\nquickstart: interrupted; taking everything away, one moment');
      interrupted.abort(new Stop('interrupted'));
    });
  const quickstart = new Quickstart();
  let seconds;
  let failure;
  try {
    seconds = await quickstart.run();
  } catch (cause) {
    failure = cause;
  }
  const trouble = await quickstart.end();
  for (const message of trouble) console.error(`quickstart: while ending: ${message}`);
  if (interrupted.signal.aborted) return 130;
  if (failure !== undefined) throw failure;
  if (trouble.length > 0) return 1;
  console.log(`\nquickstart: ok, guest up in ${seconds} s, 0 leftovers`);
  return 0;
}

/** The set-up as the user; the rest as root, in one go, so that it can be taken away as root too. */
if (process.argv.includes('--ready')) process.exitCode = await quickstart().catch(report);
else
  await main({ name: 'quickstart', file: import.meta.filename }, async () => {
    await setup();
    if (!isRoot) console.log('The daemon makes network devices, which needs root: sudo may ask for your password.');
    return await attended(asRoot(guarded([process.execPath, import.meta.filename, '--ready'], HOW)));
  });

function report(cause) {
  if (!(cause instanceof Stop)) throw cause;
  console.error(`\nquickstart: FAILED: ${cause.message}`);
  return 1;
}

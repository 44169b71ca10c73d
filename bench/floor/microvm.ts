/**
 * The least that it takes to make and unmake a microVM with these tools: the
 * same acts as the daemon's, by hand, side by side, two commits each. It runs
 * in the daemon's network namespace and is told what to do, see `Asked`.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type Own, ownOf, type Template, templateOf } from './argv.ts';
import { FloorDatabase } from './database.ts';
import { lineIn } from './lines.ts';
import { type Living, livingIp, livingNft } from './living.ts';
import { OverlayBytes } from './overlay.ts';
import { FloorQmp } from './qmp.ts';

export type Asked =
  /** By a VMM of the daemon's. `line`: what a guest of it says first. */
  | {
      readonly do: 'prepare';
      readonly argv: readonly string[];
      readonly directory: string;
      readonly bridge: string;
      readonly line: string;
    }
  /** @returns Created. `boots`: until each guest has said its line */
  | { readonly do: 'create'; readonly count: number; readonly boots: boolean }
  /** All. @returns milliseconds until nothing is left */
  | { readonly do: 'delete' }
  /** Takes over all that run, as one who was started anew: proves each, connects, asks. @returns Adopted */
  | { readonly do: 'adopt' }
  /** Ends one, until its end is known and kept. @returns milliseconds */
  | { readonly do: 'exit' }
  /** A command that is there, to its guest's line. @returns milliseconds */
  | { readonly do: 'hand'; readonly argv: readonly string[]; readonly console: string; readonly line: string };

export interface Created {
  /** When it began, by the monotonic clock. */
  readonly began: number;
  /** Milliseconds until all ran. */
  readonly created: number;
  readonly commits: number;
  readonly loop: { readonly p99: number; readonly max: number };
}

export interface Adopted {
  /** Milliseconds. */
  readonly took: number;
  /** Bytes that each takes here, while it is connected. */
  readonly each: number;
}

const RESOLUTION_MS = 1;
/** Of a microVM's entries in the daemon's sets. */
const ELEMENTS = 5;

interface Made {
  readonly own: Own;
  readonly directory: string;
  readonly n: number;
  readonly child: ChildProcess;
  readonly exited: Promise<unknown>;
  qmp: FloorQmp;
}

interface Prepared {
  readonly template: Template;
  readonly directory: string;
  readonly bridge: string;
  readonly line: string;
  readonly overlay: OverlayBytes | undefined;
  readonly database: FloorDatabase;
  readonly ip: Living;
  readonly nft: Living;
}

let prepared: Prepared | undefined;
let made: Made[] = [];
let serial = 0;

process.on('message', (asked: Asked) => {
  answer(asked).then(
    (value) => process.send?.({ value }),
    (error: unknown) =>
      process.send?.({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
});
process.on('disconnect', () => process.exit());

async function answer(asked: Asked): Promise<unknown> {
  if (asked.do === 'hand') return hand(asked.argv, asked.console, asked.line);
  if (asked.do === 'prepare') {
    const { directory, bridge, line } = asked;
    mkdirSync(directory, { recursive: true });
    const template = templateOf(asked.argv);
    const overlay = template.overlay && new OverlayBytes(template.overlay.backing, join(directory, 'template'));
    execFileSync('nft', ['add table bridge flbench; add set bridge flbench s { type ether_addr; }']);
    const database = new FloorDatabase(join(directory, 'floor.db'));
    prepared = { template, directory, bridge, line, overlay, database, ip: livingIp(), nft: livingNft() };
    return undefined;
  }
  if (!prepared) throw new Error('it is not prepared');
  if (asked.do === 'create') return create(prepared, asked.count, asked.boots);
  if (asked.do === 'adopt') return adopt();
  return asked.do === 'exit' ? exit(prepared) : unmake(prepared);
}

async function create(at: Prepared, count: number, boots: boolean): Promise<Created> {
  const loop = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  loop.enable();
  const before = at.database.commits;
  const began = Number(process.hrtime.bigint()) / 1e6;
  // Several stand still until none is starting: those that boot would keep the others from it.
  const isCrowd = count > 1;
  made = await Promise.all(Array.from({ length: count }, () => makeOne(at, isCrowd)));
  if (isCrowd) await Promise.all(made.map(({ qmp }) => qmp.execute('cont')));
  const created = Number(process.hrtime.bigint()) / 1e6 - began;
  const commits = at.database.commits - before;
  if (boots) await Promise.all(made.map(({ own }) => lineIn(own.console, at.line)));
  loop.disable();
  const late = (nanos: number): number => Math.max(0, nanos / 1e6 - RESOLUTION_MS);
  return { began, created, commits, loop: { p99: late(loop.percentile(99)), max: late(loop.max) } };
}

async function makeOne(at: Prepared, paused: boolean): Promise<Made> {
  const n = ++serial;
  const directory = join(at.directory, String(n));
  const own = ownOf(at.template, n, directory, paused);
  at.database.intend(String(n));
  mkdirSync(directory);
  at.overlay?.write(own.overlay);
  await Promise.all([
    at.template.tap === undefined ? undefined : at.ip.tell(tapLines(own.tap, at.bridge)),
    at.nft.tell([`add element bridge flbench s { ${elements(n)} }`]),
  ]);
  const [program, ...args] = own.argv;
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'], detached: true });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const qmp = await FloorQmp.connect(own.qmp);
  await qmp.execute('query-status');
  at.database.made(String(n));
  return { own, directory, n, child, exited, qmp };
}

async function unmake(at: Prepared): Promise<number> {
  const began = performance.now();
  const all = made;
  made = [];
  for (const { child } of all) child.kill('SIGKILL');
  await Promise.all(
    all.map(async ({ own, directory, exited, n, qmp }) => {
      qmp.close();
      await exited;
      await Promise.all([
        at.template.tap === undefined ? undefined : at.ip.tell([`link del dev ${own.tap}`]),
        at.nft.tell([`delete element bridge flbench s { ${elements(n)} }`]),
      ]);
      rmSync(directory, { recursive: true });
    }),
  );
  at.database.gone(all.map(({ n }) => String(n)));
  return performance.now() - began;
}

async function adopt(): Promise<Adopted> {
  for (const { qmp } of made) qmp.close();
  const before = live();
  const began = performance.now();
  await Promise.all(
    made.map(async (one) => {
      const argv = await readFile(`/proc/${one.child.pid}/cmdline`, 'latin1');
      if (!argv.includes(`guest=floor-${one.n}\0`)) throw new Error(`process ${one.child.pid} is not ours`);
      await readFile(`/proc/${one.child.pid}/stat`);
      one.qmp = await FloorQmp.connect(one.own.qmp);
      await one.qmp.execute('query-status');
    }),
  );
  const took = performance.now() - began;
  return { took, each: Math.max(0, live() - before) / made.length };
}

/** Bytes, once the garbage is collected. */
function live(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let i = 0; i < 3; i++) collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function exit(at: Prepared): Promise<number> {
  const [one] = made;
  if (!one) throw new Error('nothing runs');
  const began = performance.now();
  one.child.kill('SIGKILL');
  await one.exited;
  at.database.made(String(one.n));
  return performance.now() - began;
}

async function hand(argv: readonly string[], console: string, line: string): Promise<number> {
  rmSync(console, { force: true });
  const [program = '', ...args] = argv;
  const began = performance.now();
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const early = exited.then(() => Promise.reject(new Error(`${program} ended before its guest said a line`)));
  early.catch(() => undefined);
  await Promise.race([lineIn(console, line), early]);
  const took = performance.now() - began;
  child.kill('SIGKILL');
  await exited;
  return took;
}

const tapLines = (tap: string, bridge: string): readonly string[] => [
  `tuntap add dev ${tap} mode tap`,
  `link set dev ${tap} alias floor master ${bridge} up`,
  `link set dev ${tap} type bridge_slave isolated on`,
];

const elements = (n: number): string =>
  Array.from({ length: ELEMENTS }, (_, i) => {
    const byte = (value: number): string => value.toString(16).padStart(2, '0');
    return `02:f0:0${i}:${byte(n >> 16)}:${byte((n >> 8) & 0xff)}:${byte(n & 0xff)}`;
  }).join(', ');

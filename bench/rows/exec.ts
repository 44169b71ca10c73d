import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from '../../test/support/daemon.ts';
import type { Asked } from '../floor/agent.ts';
import { startBare } from '../measure/bare.ts';
import type { Floor } from '../measure/floor.ts';
import type { Group, Run } from '../measure/group.ts';
import { type Guest, type Guests, guestsOf, timed, withGuest } from '../measure/guest.ts';
import { Inside } from '../measure/inside.ts';
import type { Lab } from '../measure/lab.ts';
import type { Measure } from '../row.ts';

const RUNS = 100;
const WALLS = 15;
const CROWDS = 5;
const AT_ONCE = 50;
const STREAMS = 3;
const MEGABYTES = 100;
const PIECE = Buffer.alloc(32 << 10, 'x');
/** What `exec -- true` may take beside the CLI's own least: a multiple of that, and the guest's part in milliseconds. */
const CLI_TIMES = 1.5;
const CLI_MORE_MS = 10;

const exec = promisify(execFile);

/** Commands in a guest under software emulation, by turns with a bare round trip to another one's agent. */
export const execs: Group = {
  rows: ['exec-cli', 'exec-grpc', 'exec-at-once', 'exec-out', 'exec-in'],
  needs: ['root'],
  measure: (run: Run) =>
    withGuest({}, async ({ lab, uid, guests, floor }) => {
      const wants = (row: string, measure: () => Promise<Measure>) =>
        run.wants(row) ? measure().then((one) => [[row, one] as const]) : [];
      return Object.fromEntries([
        ...(await wants('exec-grpc', () => roundTrips(run, { guests, uid, floor, lab }))),
        ...(await wants('exec-at-once', () => crowds(run, guests, uid))),
        ...(await wants('exec-cli', () => walls(run, lab, uid))),
        ...(await wants('exec-out', () => streams(run, () => outOf(guests, uid), floor))),
        ...(await wants('exec-in', () => streams(run, () => into(guests, uid), floor))),
      ]);
    }),
};

async function* one(uid: string, command: string, args: string[]) {
  yield { payload: { case: 'start' as const, value: { uid, command, args } } };
}

async function runTrue(guests: Guests, uid: string): Promise<void> {
  for await (const { payload } of guests.exec(one(uid, 'true', [])))
    if (payload.case === 'exit' && payload.value.code === 0) return;
  throw new Error('true was not true');
}

async function roundTrips(run: Run, guest: Guest): Promise<Measure> {
  const { guests, uid, floor } = guest;
  const measure = { ours: [] as number[], reference: [] as number[] };
  const inside = await Inside.in(guest);
  using bare = await startBare({ get: '', list: '', message: '', times: 0 });
  const answered = guestsOf(bare);
  for (let i = 0; i < 10; i++) await Promise.all([runTrue(guests, uid), runTrue(answered, uid)]);
  for (let i = 0; i < run.runs(RUNS); i++) {
    measure.ours.push(await timed(() => runTrue(guests, uid)));
    const call = await timed(() => runTrue(answered, uid));
    const word = await floor.ask<number>({ do: 'ping' });
    measure.reference.push(call + word + (await inside.ms('begin 3 /bin/busybox true')));
  }
  return measure;
}

async function crowds(run: Run, guests: Guests, uid: string): Promise<Measure> {
  const measure = { ours: [] as number[], reference: [] as number[], paired: true };
  const all = Array.from({ length: AT_ONCE }, () => uid);
  for (let i = 0; i < run.runs(CROWDS); i++) {
    measure.ours.push(await timed(() => Promise.all(all.map((one) => runTrue(guests, one)))));
    measure.reference.push(
      await timed(async () => {
        for (const one of all) await runTrue(guests, one);
      }),
    );
  }
  return measure;
}

async function walls(run: Run, { host }: Lab, uid: string): Promise<Measure> {
  const program = join(ROOT, 'bin/flintlock');
  const measure = { ours: [] as number[], reference: [] as number[], paired: true };
  const ours = () => timed(() => exec(program, ['--host', `unix://${host.socket}`, 'exec', uid, '--', 'true']));
  const version = () => timed(() => exec(program, ['version']));
  await ours();
  await version();
  for (let i = 0; i < run.runs(WALLS); i++) {
    measure.ours.push(await ours());
    measure.reference.push((await version()) * CLI_TIMES + CLI_MORE_MS);
  }
  return measure;
}

/** Megabytes a second. */
async function streams(run: Run, ours: () => Promise<void>, floor: Floor<Asked>): Promise<Measure> {
  const measure = { ours: [] as number[], reference: [] as number[], paired: true };
  const rate = (ms: number): number => MEGABYTES / (ms / 1_000);
  for (let i = 0; i < run.runs(STREAMS); i++) {
    measure.ours.push(rate(await timed(ours)));
    measure.reference.push(rate(await floor.ask<number>({ do: 'echo', bytes: MEGABYTES << 20 })));
  }
  return measure;
}

async function outOf(guests: Guests, uid: string): Promise<void> {
  let bytes = 0;
  for await (const { payload } of guests.exec(one(uid, 'dd', ['if=/dev/zero', 'bs=64k', `count=${MEGABYTES << 4}`])))
    if (payload.case === 'stdout') bytes += payload.value.length;
  if (bytes !== MEGABYTES << 20) throw new Error(`${bytes} bytes came`);
}

async function into(guests: Guests, uid: string): Promise<void> {
  async function* all() {
    const value = { uid, command: 'dd', args: ['of=/dev/null', 'bs=64k', 'iflag=fullblock'], hasStdin: true };
    yield { payload: { case: 'start' as const, value } };
    for (let sent = 0; sent < MEGABYTES << 20; sent += PIECE.length)
      yield { payload: { case: 'stdin' as const, value: PIECE } };
  }
  let said = '';
  for await (const { payload } of guests.exec(all()))
    if (payload.case === 'stderr') said += Buffer.from(payload.value).toString();
  // Busybox tells of no bytes.
  if (!said.startsWith(`${MEGABYTES << 4}+0 records in`)) throw new Error(`dd says ${said}`);
}

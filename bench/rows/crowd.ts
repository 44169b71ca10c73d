import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { medianOf } from '../figures.ts';
import type { Adopted, Asked, Created } from '../floor/microvm.ts';
import { Floor } from '../measure/floor.ts';
import type { Group, Run } from '../measure/group.ts';
import { Lab } from '../measure/lab.ts';
import { firstAnswer, floorSocket, floorStart, rssOf, startOnce } from '../measure/starts.ts';
import { Wire } from '../measure/wire.ts';
import type { Measure } from '../row.ts';
import { prepare } from './creates.ts';

const HALF = 500;
const WHOLE = 1_000;
/** Under way while the crowd is made. */
const AT_ONCE = 25;
/** Where the plot has its points, in parts of the whole. */
const POINTS = 4;
const LOOKS = 5;
const RESTARTS = 3;
const DEATHS = 2;
const BESIDE = 25;
/** The most that making a crowd of half may take of a bench that is to end. */
const FILL_MS = 150_000;
const ADOPTED_MS = 120_000;
const KB = 1e3;
const MB = 1e6;

/** What grows with the number of microVMs: one daemon beside many, one beside none. */
export const crowd: Group = {
  rows: ['crowd-answer', 'crowd-adopted', 'crowd-told', 'crowd-create', 'crowd-delete', 'crowd-audit', 'crowd-memory'],
  needs: ['root', 'perl'],
  async measure(run: Run) {
    const half = run.crowd(HALF);
    const many = new Crowd(await Lab.start({ stub: true }), run);
    try {
      await using floor = Floor.start<Asked>(many.lab.host, 'microvm.ts');
      await prepare(many.lab, floor);
      await many.warmUp();
      await many.look();
      const before = await many.lab.held();
      await many.fill(half);
      const each = ((await many.lab.held()).live - before.live) / half / KB;
      await floor.ask<Created>({ do: 'create', count: half, boots: false });
      const audits = run.wants('crowd-audit') ? await many.audits(run.runs(LOOKS)) : nothing();
      const restarts = await many.restarts(floor, run.runs(RESTARTS));
      const told = await many.deaths(Math.min(DEATHS, run.runs(DEATHS)));
      const adopted = await floor.ask<Adopted>({ do: 'adopt' });
      await floor.ask({ do: 'delete' });
      const isWanted = run.wants('crowd-create') || run.wants('crowd-delete');
      const beside = isWanted ? await besides(many, run) : { create: nothing(), delete: nothing() };
      many.plot(run);
      return {
        'crowd-audit': audits,
        ...restarts,
        'crowd-told': told,
        'crowd-memory': { ours: [each], reference: [adopted.each / KB] },
        'crowd-create': beside.create,
        'crowd-delete': beside.delete,
      };
    } finally {
      await many.lab.close();
    }
  },
};

const nothing = (): Measure => ({ ours: [], reference: [] });

async function besides(many: Crowd, run: Run): Promise<{ create: Measure; delete: Measure }> {
  await many.fill(run.crowd(WHOLE));
  const alone = await Lab.start({ stub: true });
  try {
    const create = { ours: [] as number[], reference: [] as number[] };
    const remove = { ours: [] as number[], reference: [] as number[] };
    await lifeOf(alone);
    await lifeOf(many.lab);
    for (let i = 0; i < run.runs(BESIDE); i++) {
      const ours = await lifeOf(many.lab);
      const reference = await lifeOf(alone);
      create.ours.push(ours.create);
      create.reference.push(reference.create);
      remove.ours.push(ours.remove);
      remove.reference.push(reference.remove);
    }
    return { create, delete: remove };
  } finally {
    await alone.close();
  }
}

/** Milliseconds of one create and its delete. */
async function lifeOf(lab: Lab): Promise<{ create: number; remove: number }> {
  const began = performance.now();
  const uid = await lab.create();
  const created = await lab.seen(uid, 'CREATED');
  const deleting = performance.now();
  return { create: created - began, remove: (await lab.gone(uid)) - deleting };
}

class Crowd {
  readonly lab: Lab;
  readonly #run: Run;
  readonly #uids: string[] = [];
  readonly #creates: [number, number][] = [];
  readonly #lists: [number, number][] = [];
  readonly #memory: [number, number][] = [];

  constructor(lab: Lab, run: Run) {
    this.lab = lab;
    this.#run = run;
  }

  /** Until there are so many, with a look on the way. */
  async fill(count: number): Promise<void> {
    const began = performance.now();
    const step = Math.ceil(this.#run.crowd(WHOLE) / POINTS);
    while (this.#uids.length < count) {
      const wanted = Math.min(AT_ONCE, count - this.#uids.length, step - (this.#uids.length % step));
      this.#uids.push(...(await Promise.all(Array.from({ length: wanted }, () => this.lab.created()))));
      if (this.#uids.length % step === 0) await this.look();
      if (performance.now() - began > FILL_MS)
        throw new Error(`${this.#uids.length} microVMs of ${count} were made in ${FILL_MS / 1_000} s`);
    }
    this.#run.say(`${this.#uids.length} microVMs in ${((performance.now() - began) / 1_000).toFixed(0)} s`);
  }

  /** What everything does once is behind it. */
  async warmUp(): Promise<void> {
    const uids = await Promise.all(Array.from({ length: AT_ONCE }, () => this.lab.created()));
    await Promise.all(uids.map((uid) => this.lab.gone(uid)));
  }

  /** A point of the plots. */
  async look(): Promise<void> {
    const count = this.#uids.length;
    const lives: number[] = [];
    for (let i = 0; i < LOOKS; i++) lives.push((await lifeOf(this.lab)).create);
    this.#creates.push([count, medianOf(lives)]);
    using wire = await Wire.open(this.lab.host.socket);
    const lists: number[] = [];
    for (let i = 0; i < LOOKS; i++) {
      const began = performance.now();
      await wire.call('ListMicroVMs', new Uint8Array());
      lists.push(performance.now() - began);
    }
    this.#lists.push([count, medianOf(lists)]);
    this.#memory.push([count, rssOf(this.lab.host.pid) / MB]);
  }

  plot(run: Run): void {
    const x = 'microVMs (stub VMM)';
    run.plot('time-by-number', {
      ...{ title: 'A create and a List beside so many others', x, y: 'milliseconds' },
      lines: [
        { label: 'create → CREATED', points: this.#creates },
        { label: 'List', points: this.#lists },
      ],
    });
    run.plot('memory-by-number', {
      ...{ title: "The daemon's memory with so many microVMs", x, y: 'MB' },
      lines: [{ label: 'in RAM', points: this.#memory }],
    });
  }

  async audits(runs: number): Promise<Measure> {
    const { host } = this.lab;
    await using floor = Floor.start<{ look: true }>(host, 'looks.ts', host.directory);
    const ours: number[] = [];
    const reference: number[] = [];
    for (let i = 0; i < runs; i++) {
      const began = performance.now();
      await host.host.audit({});
      ours.push((performance.now() - began) / 1_000);
      reference.push((await floor.ask<number>({ look: true })) / 1_000);
    }
    return { ours, reference };
  }

  /** The daemon is killed and started again, and takes over what runs. */
  async restarts(floor: Floor<Asked>, runs: number): Promise<Readonly<Record<string, Measure>>> {
    const answers = { ours: [] as number[], reference: [] as number[] };
    const adopted = { ours: [] as number[], reference: [] as number[] };
    for (let i = 0; i < runs; i++) {
      await this.lab.host.kill9();
      const began = performance.now();
      const isUp = this.lab.startAgain();
      await firstAnswer(this.lab.host.socket);
      answers.ours.push((performance.now() - began) / 1_000);
      await isUp;
      await this.#untilConnected();
      adopted.ours.push((performance.now() - began) / 1_000);
      adopted.reference.push((await floor.ask<Adopted>({ do: 'adopt' })).took / 1_000);
      answers.reference.push(await this.#bareStart());
    }
    return { 'crowd-answer': answers, 'crowd-adopted': adopted };
  }

  /** The daemon is killed, then all VMMs, and the next daemon tells of each. */
  async deaths(runs: number): Promise<Measure> {
    const { host } = this.lab;
    const ours: number[] = [];
    const reference: number[] = [];
    for (let i = 0; i < runs; i++) {
      await host.kill9();
      const names = new Set(this.#uids.map((uid) => `guest=${uid}`));
      for (const { pid, argv } of host.processes())
        if (argv.some((word) => names.has(word))) process.kill(pid, 'SIGKILL');
      const began = performance.now();
      const isUp = this.lab.startAgain();
      const seen = Promise.all(this.#uids.map((uid) => this.lab.seen(uid, 'FAILED')));
      await isUp;
      ours.push((Math.max(...(await seen)) - began) / 1_000);
      reference.push(await this.#bareStart());
      await this.#startAll();
    }
    return { ours, reference };
  }

  /** Seconds. */
  async #bareStart(): Promise<number> {
    const { host } = this.lab;
    const { answered } = await startOnce(host, floorStart(host.directory), floorSocket(host.directory));
    return answered / 1_000;
  }

  async #startAll(): Promise<void> {
    const waiting = [...this.#uids];
    const one = async (): Promise<void> => {
      for (let uid = waiting.shift(); uid !== undefined; uid = waiting.shift()) {
        await this.lab.host.vms.startMicroVM({ uid });
        await this.lab.seen(uid, 'CREATED');
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, one));
  }

  /** By the kernel's own list of connections: whatever the daemon says of itself. */
  async #untilConnected(): Promise<void> {
    const end = performance.now() + ADOPTED_MS;
    const { host } = this.lab;
    for (;;) {
      const connected = readFileSync(`/proc/${host.pid}/net/unix`, 'utf8')
        .split('\n')
        .filter((line) => line.includes(host.run) && / 0001 03 +\d+ .*qmp\.sock$/.test(line)).length;
      if (connected >= this.#uids.length) return;
      if (performance.now() > end) throw new Error(`${connected} of ${this.#uids.length} are adopted`);
      await sleep(10);
    }
  }
}

import { readFileSync, writeFileSync } from 'node:fs';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { GetMicroVMRequestSchema, ListMicroVMsRequestSchema } from '../../src/gen/flintlock/microvm/v1/microvms_pb.ts';
import { type ApiProcess, startApiProcess } from '../../test/support/api-process.ts';
import { type Bare, startBare } from '../measure/bare.ts';
import type { Group, Run } from '../measure/group.ts';
import { Wire } from '../measure/wire.ts';
import type { Measure } from '../row.ts';

const RUNS = 10;
const HUNDRED = 100;
const MANY = 10_000;
/** Of metadata, for the Lists at once. */
const LONG_BYTES = 20_000;
const AT_ONCE = 32;
/** Under way on the one connection: enough that no server waits for the client. */
const DEPTH = 8;
/** Of one turn; what is begun in it counts. */
const TURN_MS = 700;
const HEAP_MB = 2_048;
const MB = 1e6;

const listRequest = (change: MessageInitShape<typeof ListMicroVMsRequestSchema> = {}): Uint8Array =>
  toBinary(ListMicroVMsRequestSchema, create(ListMicroVMsRequestSchema, change));
const getRequest = (id: string): Uint8Array =>
  toBinary(GetMicroVMRequestSchema, create(GetMicroVMRequestSchema, { id }));

/** The API over so many records, and a bare server that answers as it did. */
class Pair implements AsyncDisposable {
  readonly ours: Wire;
  readonly bare: Wire;
  readonly #api: ApiProcess;
  readonly #server: Bare;

  private constructor(ours: Wire, bare: Wire, api: ApiProcess, server: Bare) {
    this.ours = ours;
    this.bare = bare;
    this.#api = api;
    this.#server = server;
  }

  static async start(vms: { readonly count: number; readonly bytes: number }): Promise<Pair> {
    const api = await startApiProcess(vms, HEAP_MB);
    const ours = await Wire.open(api.grpc);
    const base64 = async (method: string, request: Uint8Array): Promise<string> =>
      (await ours.call(method, request)).message.toString('base64');
    const server = await startBare({
      get: await base64('GetMicroVM', getRequest('vm0')),
      list: await base64('ListMicroVMs', listRequest()),
      message: await base64('ListMicroVMsStream', listRequest({ pageSize: 1 })),
      times: vms.count,
    });
    return new Pair(ours, await Wire.open(server.port), api, server);
  }

  get pids(): { readonly ours: number; readonly bare: number } {
    return { ours: this.#api.pid, bare: this.#server.pid };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.ours[Symbol.dispose]();
    this.bare[Symbol.dispose]();
    this.#server[Symbol.dispose]();
    await this.#api.end();
  }
}

/** Calls a second of one turn. */
async function rate(wire: Wire, method: string, request: Uint8Array): Promise<number> {
  const began = performance.now();
  let calls = 0;
  const one = async (): Promise<void> => {
    while (performance.now() - began < TURN_MS) {
      await wire.call(method, request);
      calls++;
    }
  };
  await Promise.all(Array.from({ length: DEPTH }, one));
  return (calls * 1_000) / (performance.now() - began);
}

/** By turns, each pair of values from moments beside each other. */
async function byTurns(runs: number, ours: () => Promise<number>, reference: () => Promise<number>): Promise<Measure> {
  await ours();
  await reference();
  const values: { ours: number; reference: number }[] = [];
  for (let i = 0; i < runs; i++) {
    // Who is first has the cooler machine.
    if (i % 2 === 0) values.push({ ours: await ours(), reference: await reference() });
    else {
      const second = await reference();
      values.push({ ours: await ours(), reference: second });
    }
  }
  return { ours: values.map((one) => one.ours), reference: values.map((one) => one.reference), paired: true };
}

export const rates: Group = {
  rows: ['api-get', 'api-list'],
  needs: [],
  async measure(run: Run) {
    await using pair = await Pair.start({ count: HUNDRED, bytes: 0 });
    const measure = (method: string, request: Uint8Array): Promise<Measure> =>
      byTurns(
        run.runs(RUNS),
        () => rate(pair.ours, method, request),
        () => rate(pair.bare, method, request),
      );
    return {
      'api-get': await measure('GetMicroVM', getRequest('vm42')),
      'api-list': await measure('ListMicroVMs', listRequest()),
    };
  },
};

/** Many long Lists on one connection: at once, and one after the other. */
export const listsAtOnce: Group = {
  rows: ['lists-at-once'],
  needs: [],
  async measure(run: Run) {
    const api = await startApiProcess({ count: HUNDRED, bytes: LONG_BYTES }, HEAP_MB);
    try {
      using wire = await Wire.open(api.grpc);
      let refused = 0;
      let words = '';
      const list = async (): Promise<void> => {
        try {
          await wire.call('ListMicroVMs', listRequest());
        } catch (error) {
          refused++;
          words ||= String(error);
        }
      };
      const atOnce = async (): Promise<number> => {
        const began = performance.now();
        await Promise.all(Array.from({ length: AT_ONCE }, list));
        return (AT_ONCE * 1_000) / (performance.now() - began);
      };
      const inTurn = async (): Promise<number> => {
        const began = performance.now();
        for (let i = 0; i < AT_ONCE; i++) await list();
        return (AT_ONCE * 1_000) / (performance.now() - began);
      };
      const measure = await byTurns(Math.min(5, run.runs(RUNS)), atOnce, inTurn);
      return {
        'lists-at-once': refused === 0 ? measure : { ...measure, wrong: `${refused} Lists were refused: ${words}` },
      };
    } finally {
      await api.end();
    }
  },
};

/** All of very many in one stream. */
export const stream: Group = {
  rows: ['stream-time', 'stream-memory'],
  needs: [],
  async measure(run: Run) {
    const count = run.crowd(MANY);
    await using pair = await Pair.start({ count, bytes: 0 });
    const more = { ours: [] as number[], bare: [] as number[] };
    const once = async (which: 'ours' | 'bare'): Promise<number> => {
      const forget = forgetPeak(pair.pids[which]);
      const began = performance.now();
      const { messages } = await pair[which].call('ListMicroVMsStream', listRequest());
      const took = performance.now() - began;
      if (messages !== count) throw new Error(`the stream had ${messages} messages of ${count}`);
      more[which].push(forget() / MB);
      return took;
    };
    const time = await byTurns(
      run.runs(RUNS),
      () => once('ours'),
      () => once('bare'),
    );
    return { 'stream-time': time, 'stream-memory': { ours: more.ours.slice(1), reference: more.bare.slice(1) } };
  },
};

/**
 * Forgets the most memory that a process had. @returns what says by how many bytes it has had more since
 * @see proc_pid_clear_refs(5)
 */
function forgetPeak(pid: number): () => number {
  const read = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) *
    1_024;
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
  const before = read('VmRSS');
  return () => Math.max(0, read('VmHWM') - before);
}

import { setTimeout as sleep } from 'node:timers/promises';
import { create, toBinary } from '@bufbuild/protobuf';
import { GetMicroVMRequestSchema } from '../../src/gen/flintlock/microvm/v1/microvms_pb.ts';
import type { Group, Run } from '../measure/group.ts';
import { Lab } from '../measure/lab.ts';
import { Wire } from '../measure/wire.ts';

const LIVES = 1_000;
const AT_ONCE = 20;
const GETS = 8_000;
const LISTS = 1_000;
const OTHERS = 10;
const DEPTH = 8;
const MB = 1e6;
/** V8 gives what it has collected back to the system when nothing has happened for some ten seconds, in two goes. */
const REST_MS = 25_000;
/** The most that lives may take of a bench that is to end. */
const LIVES_MS = 120_000;

/** Whether a daemon gives back what it took: before and after, once its garbage is collected. */
export const memory: Group = {
  rows: ['memory-lives', 'memory-calls'],
  needs: ['root', 'perl'],
  async measure(run: Run) {
    const lab = await Lab.start({ stub: true });
    try {
      await live(lab, AT_ONCE); // what everything does once is behind it
      const others = await Promise.all(Array.from({ length: OTHERS }, () => lab.created()));
      using wire = await Wire.open(lab.host.socket);
      await ask(wire, others, GETS / 10, LISTS / 10);
      const before = await rested(lab);
      await ask(wire, others, run.crowd(GETS), run.crowd(LISTS));
      const calls = await rested(lab);
      const wanted = run.crowd(LIVES);
      const end = performance.now() + LIVES_MS;
      let lives = 0;
      while (lives < wanted && performance.now() < end) lives += await live(lab, AT_ONCE);
      const after = await rested(lab);
      const short = lives < wanted ? { wrong: `${lives} lives of ${wanted} in ${LIVES_MS / 1_000} s` } : {};
      return {
        'memory-calls': { ours: [calls], reference: [before] },
        'memory-lives': { ours: [after], reference: [calls], ...short },
      };
    } finally {
      await lab.close();
    }
  },
};

/** MB that it has in RAM, once V8 has given back what it keeps at hand. */
async function rested(lab: Lab): Promise<number> {
  await sleep(REST_MS);
  return (await lab.held()).rss / MB;
}

async function live(lab: Lab, count: number): Promise<number> {
  const uids = await Promise.all(Array.from({ length: count }, () => lab.created()));
  await Promise.all(uids.map((uid) => lab.gone(uid)));
  return count;
}

async function ask(wire: Wire, uids: readonly string[], gets: number, lists: number): Promise<void> {
  const requests = uids.map((uid) => toBinary(GetMicroVMRequestSchema, create(GetMicroVMRequestSchema, { uid })));
  const left = { gets, lists };
  const one = async (): Promise<void> => {
    while (left.gets > 0 || left.lists > 0) {
      if (left.gets > 0) {
        left.gets--;
        await wire.call('GetMicroVM', requests[left.gets % requests.length] ?? new Uint8Array());
      }
      if (left.lists > 0) {
        left.lists--;
        await wire.call('ListMicroVMs', new Uint8Array());
      }
    }
  };
  await Promise.all(Array.from({ length: DEPTH }, one));
}

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Fault } from '../domain/fault.ts';
import { agentFrame } from './agent-frames.ts';
import type { AgentConnection } from './exec.ts';
import { parseStatistics, statisticsOver } from './statistics.ts';

const never = new AbortController().signal;
const parse = (value: unknown) => parseStatistics(Buffer.from(JSON.stringify(value)));

test('figures that no guest has are cut, names are made harmless, lists are bounded', () => {
  const many = Array.from({ length: 1_000 }, (_, i) => ({
    name: `\u001b[2J${'é'.repeat(99)}`,
    in: i,
    out: -1,
    pid: 1e300,
  }));
  const found = parse({
    ...{ up_ms: 1.9, cpus: 1e9, cpu_ms: 10, busy_ms: 20, memory_kb: 1e300, available_kb: 'x', load: [150, -1, 'x', 4] },
    ...{ disks: many, nics: 'none', processes: [...many, null, []], count: Number.MAX_VALUE },
  });
  expect(found).toMatchObject({
    ...{ upMs: 1, cpus: 65_535, cpuMs: 10, busyMs: 10, memoryBytes: Number.MAX_SAFE_INTEGER, availableBytes: 0 },
    ...{ load: [1.5, 0, 0], interfaces: [], rootBytes: 0, processCount: 0xffff_ffff },
  });
  expect([found.disks.length, found.processes.length]).toEqual([32, 64]);
  expect(found.disks[0]).toEqual({ name: `?[2J${'?'.repeat(27)}`, bytesIn: 0, bytesOut: 0 });
  expect(found.processes[0]).toMatchObject({ pid: 0x7fff_ffff, name: `?[2J${'?'.repeat(11)}` });
});

test.each(['', 'x', '[]', 'null', '1'])('%j is no statistics', (text) => {
  expect(() => parseStatistics(Buffer.from(text))).toThrow('no JSON object');
});

test('whatever JSON it is, it becomes statistics of a bounded size, or a Fault', () => {
  const keys = ['up_ms', 'cpus', 'load', 'disks', 'nics', 'processes', 'name', 'pid', 'in', 'cpu_ms', 'memory_kb'];
  const any = fc.dictionary(fc.constantFrom(...keys), fc.jsonValue({ maxDepth: 2 }));
  fc.assert(
    fc.property(any, (value) => {
      let found: unknown;
      try {
        found = parse(value);
      } catch (error) {
        expect(error).toBeInstanceOf(Fault);
        return;
      }
      const text = JSON.stringify(found);
      expect(text.length).toBeLessThan(32_000);
      expect(text).toMatch(/^[\x20-\x7e]*$/);
      expect(text).not.toMatch(/null|:-/);
    }),
    { numRuns: 300 },
  );
});

/** An agent that says this. */
function saying(...pieces: readonly Uint8Array[]): AgentConnection & { readonly asked: string[]; isClosed: boolean } {
  const asked: string[] = [];
  return {
    asked,
    isClosed: false,
    async write(bytes) {
      asked.push(Buffer.from(bytes).subarray(5).toString());
    },
    async *read() {
      yield* pieces;
    },
    close() {
      this.isClosed = true;
    },
  };
}

const WANTED = { intervalMs: 500, processes: 3 };
const sample = agentFrame(49, Buffer.from('{"cpus":2}'));

test('each sample comes, however it was cut, until the agent ends them', async () => {
  const agent = saying(sample.subarray(0, 7), Buffer.concat([sample.subarray(7), sample]));
  const cpus: number[] = [];
  const read = async () => {
    for await (const one of statisticsOver(agent, WANTED, never)) cpus.push(one.cpus);
  };
  await expect(read()).rejects.toMatchObject({ kind: 'tool' });
  expect(cpus).toEqual([2, 2]);
  expect(agent.isClosed).toBe(true);
  expect(JSON.parse(agent.asked[0] ?? '')).toMatchObject({ statistics: { interval_ms: 500, processes: 3 } });
});

test.each<[string, Uint8Array, object]>([
  [
    'refuses',
    agentFrame(7, Buffer.from('{"msg":"no\\u001b"}')),
    { kind: 'refused', message: 'The guest agent refused: no?' },
  ],
  ['sends what is too long', Buffer.of(49, 0, 0x10, 0, 0), { kind: 'tool' }],
])('an agent that %s', async (_, bytes, why) => {
  const read = async () => {
    for await (const _ of statisticsOver(saying(bytes), WANTED, never));
  };
  await expect(read()).rejects.toMatchObject(why);
});

test('who leaves closes it', async () => {
  const leave = new AbortController();
  const agent = saying(sample);
  const read = async () => {
    for await (const _ of statisticsOver(agent, WANTED, leave.signal)) leave.abort(new Error('left'));
  };
  await expect(read()).rejects.toThrow('left');
  expect(agent.isClosed).toBe(true);
});

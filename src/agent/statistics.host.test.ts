import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { expect, onTestFinished, test } from 'vitest';
import { type AgentProcess, startAgent } from '../../test/support/agent-process.ts';
import { clock } from '../host/clock.ts';
import type { GuestAgent } from '../ports/guest-agent.ts';
import type { GuestStatistics, StatisticsWanted } from '../ports/guest-statistics.ts';
import { createMeetAgent } from './agent.ts';

const never = new AbortController().signal;

async function meet(process: AgentProcess): Promise<GuestAgent> {
  const way = { is: 'channel', channel: await process.channel() } as const;
  const { agent, close } = await createMeetAgent({ clock, randomBytes })(way, () => true, never);
  onTestFinished(close);
  return agent;
}

async function some(agent: GuestAgent, wanted: StatisticsWanted, count: number): Promise<GuestStatistics[]> {
  const all: GuestStatistics[] = [];
  for await (const one of agent.statistics(wanted, never)) if (all.push(one) === count) break;
  return all;
}

test('what the agent tells is what this machine has', async () => {
  await using process = await startAgent();
  const agent = await meet(process);
  // A name that is chosen to break what is made of it.
  const busy = spawn('sh', ['-c', "printf 'a\") \\\\x\\n1' >/proc/self/comm; while :; do :; done"]);
  onTestFinished(() => void busy.kill('SIGKILL'));
  const found = await some(agent, { intervalMs: 700, processes: 64 }, 3);
  const [first, , last] = found;
  if (!first || !last) throw new Error('nothing came');
  expect(first.cpus).toBe(cpus().length);
  expect(Math.abs(first.memoryBytes - totalmem())).toBeLessThan(2_048);
  expect(first.availableBytes).toBeGreaterThan(0);
  expect(first.load).toHaveLength(3);
  expect(first.rootBytes).toBeGreaterThan(first.rootFreeBytes);
  const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1000;
  expect(Math.abs(last.upMs - uptime)).toBeLessThan(10_000);
  expect(last.upMs - first.upMs).toBeGreaterThanOrEqual(1_300);
  expect(last.cpuMs).toBeGreaterThan(first.cpuMs);
  expect(last.busyMs).toBeGreaterThan(first.busyMs);
  expect(first.processes.every(({ cpuMs }) => cpuMs === 0)).toBe(true);
  expect(last.processCount).toBeGreaterThanOrEqual(last.processes.length);
  // On a busy machine its turn may be late.
  for await (const { processes } of agent.statistics({ intervalMs: 300, processes: 64 }, never)) {
    const it = processes.find(({ pid }) => pid === busy.pid);
    if (it && it.cpuMs > 0 && it.name === 'a?) ?x?1') break;
  }
  const order = last.processes.map(({ cpuMs }) => cpuMs);
  expect(order).toEqual([...order].sort((a, b) => b - a));
});

test('no processes, an interval that is too short, too many who ask', async () => {
  await using process = await startAgent();
  const agent = await meet(process);
  const [first, second] = await some(agent, { intervalMs: 1, processes: 0 }, 2);
  expect(first?.processes).toEqual([]);
  expect((second?.upMs ?? 0) - (first?.upMs ?? 0)).toBeGreaterThanOrEqual(190);
  const open = Array.from({ length: 8 }, () =>
    agent.statistics({ intervalMs: 1_000, processes: 1 }, never)[Symbol.asyncIterator](),
  );
  for (const one of open) expect((await one.next()).done).toBe(false);
  await expect(some(agent, { intervalMs: 1_000, processes: 1 }, 1)).rejects.toMatchObject({ kind: 'refused' });
  for (const one of open) await one.return?.();
  expect(await some(agent, { intervalMs: 1_000, processes: 1 }, 1)).toHaveLength(1);
  const rss = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${process.pid}/status`, 'utf8'))?.[1]);
  expect(rss).toBeLessThan(4_000);
});

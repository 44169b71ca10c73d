import { cpus, totalmem } from 'node:os';
import { expect, test } from 'vitest';
import { capacityOf } from './capacity.ts';

const HOST_MB = Math.floor(totalmem() / 2 ** 20);

test('what the host has, where nothing bounds it', async () => {
  const { capacity, notes } = await capacityOf('/proc', {});
  expect(capacity).toMatchObject({ vcpu: cpus().length, memoryInMb: HOST_MB });
  expect(notes).toEqual([]);
});

test('the smallest that is in force, told with what it is', async () => {
  const memory = { limitBytes: 64 << 20, cgroup: '/sys/fs/cgroup/x', usedBytes: 10 << 20 };
  const quota = { cpus: 0.5, cgroup: '/sys/fs/cgroup/y' };
  const { capacity, used, notes } = await capacityOf('/proc', { memory, quota, allowedCpus: 1 });
  expect(capacity).toMatchObject({ vcpu: 1, memoryInMb: 64 });
  expect(used.memoryInMb).toBe(10);
  expect(notes.join('\n')).toMatch(/memory: 64 of the host's \d+ MiB, the limit of cgroup \/sys\/fs\/cgroup\/x/);
  expect(notes.join('\n')).toMatch(/time of 0\.5 of the host's \d+, the quota of cgroup \/sys\/fs\/cgroup\/y/);
});

test('what is kept as huge pages is nobody’s but theirs who ask for such', async () => {
  const { capacity, used, notes } = await capacityOf('/proc', { hugePagesBytes: 64 << 20 });
  expect(capacity.memoryInMb).toBe(HOST_MB - 64);
  expect(used.memoryInMb).toBeLessThanOrEqual(HOST_MB - 64);
  expect(notes.join()).toMatch(/^memory: \d+ of the host's \d+ MiB, for 64 are kept as huge pages$/);
});

test('a limit above what the host has is none', async () => {
  const memory = { limitBytes: totalmem() * 2, cgroup: '/sys/fs/cgroup/x', usedBytes: 0 };
  const { capacity, notes } = await capacityOf('/proc', {
    memory,
    allowedCpus: 4_096,
    quota: { cpus: 9_999, cgroup: '/' },
  });
  expect(capacity.memoryInMb).toBe(HOST_MB);
  expect(notes).toEqual([]);
});

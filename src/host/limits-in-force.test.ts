import { expect, test } from 'vitest';
import { limitsInForce } from './limits-in-force.ts';

const MIB = 2 ** 20;
const files = (texts: Readonly<Record<string, string>>) => ({
  read: async (path: string) => (texts[path] === undefined ? undefined : Buffer.from(texts[path])),
});
const V2 = {
  '/proc/self/mountinfo': '30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw',
  '/proc/self/cgroup': '0::/system.slice/flintlockd.service',
  '/sys/fs/cgroup/system.slice/memory.current': String(MIB),
  '/sys/fs/cgroup/system.slice/memory.max': 'max',
};

test('memory.high is a limit: nothing is ended above it, and all of it stands still', async () => {
  const slice = { ...V2, '/sys/fs/cgroup/system.slice/memory.high': String(512 * MIB) };
  expect((await limitsInForce({ files: files(slice) })).memory).toEqual({
    ...{ limitBytes: 512 * MIB, cgroup: '/sys/fs/cgroup/system.slice', usedBytes: MIB },
  });
  const smaller = { ...slice, '/sys/fs/cgroup/system.slice/memory.max': String(256 * MIB) };
  expect((await limitsInForce({ files: files(smaller) })).memory?.limitBytes).toBe(256 * MIB);
});

test('huge pages of all sizes are taken off', async () => {
  const meminfo = 'MemTotal: 4194304 kB\nHugePages_Total:      64\nHugetlb:         1179648 kB\n';
  expect((await limitsInForce({ files: files({ '/proc/meminfo': meminfo }) })).hugePagesBytes).toBe(1_152 * MIB);
  expect(await limitsInForce({ files: files({ '/proc/meminfo': 'Hugetlb:         0 kB\n' }) })).toEqual({});
});

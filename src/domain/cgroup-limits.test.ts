import { describe, expect, test } from 'vitest';
import { cgroupPath, cpuQuota, cpusAllowed, hierarchicalLimit, memoryLimit, upwards } from './cgroup-limits.ts';

const V1 = [
  '30 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory',
  '31 25 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct',
  '32 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw',
].join('\n');
const V2 = '30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw';
/** A container that shows its own part alone. */
const INSIDE = '30 25 0:26 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory';

describe('where a process is', () => {
  test.each([
    [V1, '4:memory:/a/b\n1:cpu,cpuacct:/c\n0::/\n', 'memory', '/sys/fs/cgroup/memory/a/b'],
    [V1, '4:memory:/a/b\n1:cpu,cpuacct:/c\n0::/\n', 'cpu', '/sys/fs/cgroup/cpu/c'],
    [V2, '0::/system.slice/flintlockd.service\n', 'memory', '/sys/fs/cgroup/system.slice/flintlockd.service'],
    [V2, '0::/\n', 'cpu', '/sys/fs/cgroup'],
    [INSIDE, '4:memory:/docker/abc/x\n', 'memory', '/sys/fs/cgroup/memory/x'],
    ['', '0::/\n', 'memory', undefined],
    [V1.split('\n').slice(0, 1).join(), '4:memory:/a\n', 'cpu', undefined],
  ] as const)('%#', (mountinfo, own, controller, directory) =>
    expect(cgroupPath(mountinfo, own, controller)?.directory).toBe(directory),
  );

  test('and what is above it, up to the mount', () => {
    const point = '/sys/fs/cgroup';
    expect(upwards({ point, directory: `${point}/a/b` })).toEqual([`${point}/a/b`, `${point}/a`, point]);
    expect(upwards({ point, directory: point })).toEqual([point]);
  });
});

test('limits of memory in both versions’ words', () => {
  expect(memoryLimit('1073741824\n')).toBe(2 ** 30);
  for (const none of ['max', '', '9223372036854771712', 'nonsense']) expect(memoryLimit(none)).toBeUndefined();
  expect(hierarchicalLimit('cache 0\nhierarchical_memory_limit 536870912\nrss 1\n')).toBe(2 ** 29);
  expect(hierarchicalLimit('cache 0\n')).toBeUndefined();
});

test('CPU time and affinity', () => {
  expect(cpuQuota('150000 100000')).toBe(1.5);
  for (const none of ['max 100000', '-1 100000', '', '0 0']) expect(cpuQuota(none)).toBeUndefined();
  expect(cpusAllowed('Name:\tx\nCpus_allowed_list:\t0-3,8,10-11\n')).toBe(7);
  expect(cpusAllowed('Cpus_allowed_list:\t1\n')).toBe(1);
  expect(cpusAllowed('')).toBeUndefined();
});

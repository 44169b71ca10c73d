import { expect, test } from 'vitest';
import { oomCounter, oomFiles } from './oom.ts';

const filesOf = (text: string): readonly string[] => oomFiles(text).map(({ file }) => file);

test('version 1 counts in the memory controller', () => {
  expect(filesOf('9:name=systemd:/\n4:cpuset,memory:/vms/a\n0::/\n')[0]).toBe(
    '/sys/fs/cgroup/memory/vms/a/memory.oom_control',
  );
});

test('version 2 counts in its one tree, beside version 1 too, and the host where neither does', () => {
  expect(filesOf('0::/system.slice/flintlockd.service\n')).toEqual([
    '/sys/fs/cgroup/system.slice/flintlockd.service/memory.events',
    '/sys/fs/cgroup/unified/system.slice/flintlockd.service/memory.events',
    '/proc/vmstat',
  ]);
  expect(filesOf('')).toEqual(['/proc/vmstat']);
});

test('of a process that lives there is a count, and it can be had again', async () => {
  const counter = await oomCounter(process.pid);
  expect(counter?.kills).toBeGreaterThanOrEqual(0);
  expect(await counter?.again()).toBeGreaterThanOrEqual(counter?.kills ?? 0);
});

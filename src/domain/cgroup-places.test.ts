import { expect, test } from 'vitest';
import { cgroupPlaces, cgroupRoots } from './cgroup-places.ts';

const V1 = `25 20 0:22 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
26 25 0:23 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
27 25 0:24 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
28 25 0:25 / /sys/fs/cgroup/memory rw shared:10 - cgroup cgroup rw,memory
29 25 0:26 / /sys/fs/cgroup/pids rw shared:11 - cgroup cgroup rw,pids`;
const V2 = '30 20 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate';
const SERVICE = '/system.slice/flintlockd.service';

test('of version 1 it is below our own, in each hierarchy', () => {
  const own = `5:pids:${SERVICE}\n4:memory:/outer\n3:cpu,cpuacct:/\n1:name=systemd:${SERVICE}\n0::${SERVICE}`;
  expect(cgroupPlaces(V1, own)).toEqual([
    { version: 1, directory: '/sys/fs/cgroup/memory/outer', controllers: ['memory'] },
    { version: 1, directory: `/sys/fs/cgroup/pids${SERVICE}`, controllers: ['pids'] },
  ]);
});

test('two controllers in one hierarchy are one place, a hierarchy that is mounted twice too', () => {
  const both = '28 25 0:25 / /both rw - cgroup cgroup rw,memory,pids';
  const twice = '29 25 0:25 / /again rw - cgroup cgroup rw,memory,pids';
  expect(cgroupPlaces(`${both}\n${twice}`, '4:memory,pids:/')).toEqual([
    { version: 1, directory: '/both', controllers: ['memory', 'pids'] },
  ]);
});

test.each([
  ['the part that a container sees', '/docker/c1', '/docker/c1/inner', '/m/inner'],
  ['its beginning', '/docker/c1', '/docker/c1', '/m'],
  ['another part than our own', '/docker/c1', '/docker/c10', '/m'],
  ['a namespace that we are not in', '/', '/../../other', '/m'],
])('of version 1 in %s', (_what, root, path, directory) => {
  const mountinfo = `28 25 0:25 ${root} /m rw - cgroup cgroup rw,memory`;
  expect(cgroupPlaces(mountinfo, `4:memory:${path}`)).toEqual([{ version: 1, directory, controllers: ['memory'] }]);
});

test('of version 2 it is the root, whichever service we are', () => {
  const place = { version: 2, directory: '/sys/fs/cgroup', controllers: ['memory', 'pids'] };
  expect(cgroupPlaces(V2, `0::${SERVICE}`)).toEqual([place]);
});

test('without a memory controller of version 1 it is version 2; without any mount nothing', () => {
  const hybrid = V1.split('\n').filter((line) => !line.includes('/memory '));
  expect(cgroupPlaces(hybrid.join('\n'), '0::/')).toMatchObject([{ version: 2, directory: '/sys/fs/cgroup/unified' }]);
  expect(cgroupPlaces('25 20 0:22 / / rw - ext4 /dev/sda rw', '')).toEqual([]);
});

test('what was made is looked for in every hierarchy', () => {
  expect(cgroupRoots(V1)).toEqual(['/sys/fs/cgroup/unified', '/sys/fs/cgroup/memory', '/sys/fs/cgroup/pids']);
  // A container or a chroot that binds /sys, and one that shows a part of it.
  const twice = `${V2}\n77 20 0:27 / /srv/chroot/sys/fs/cgroup rw - cgroup2 cgroup2 rw`;
  expect(cgroupRoots(twice)).toEqual(['/sys/fs/cgroup']);
  const part = `76 20 0:27 /system.slice /srv/part rw - cgroup2 cgroup2 rw\n${V2}`;
  expect(cgroupRoots(part)).toEqual(['/sys/fs/cgroup']);
});

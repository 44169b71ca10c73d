import { expect, test } from 'vitest';
import type { VmmConfig } from '../../ports/vmm.ts';
import { jailedArgv } from './jail-argv.ts';
import { jailedPaths, shownFiles } from './jail-layout.ts';
import { JAIL_STARTER } from './jail-perl.ts';
import { isJailed, isOf, isProgram } from './layout.ts';
import { machineOf } from './machine.ts';

const config: VmmConfig = {
  ...{ uid: '01UID', runDirectory: '/run/vm/01UID', stateDirectory: '/state/vm/01UID', user: 77_001 },
  ...{ vcpu: 2, memoryInMb: 64, kernel: '/images/vmlinux', initrd: '/images/initrd', cmdline: '', nics: [] },
  disks: [
    { id: 'root', path: '/state/vm/01UID/disk0.img', format: 'raw', readOnly: false, isRoot: true },
    { id: 'data', path: '/images/golden', format: 'raw', readOnly: true, isRoot: false },
  ],
};
const jail = { jailer: '/opt/jailer', program: '/opt/firecracker-v1', programBytes: 3 << 20 };
const argv = jailedArgv(config, jail);

test('it begins with what its jail needs of root, in a jail over its run-time directory', () => {
  expect(argv.map((word) => (word === JAIL_STARTER ? 'STARTER' : word)).join(' ')).toBe(
    'perl -e STARTER -- 77001 /run/vm/01UID/console.in /run/vm/01UID/metrics -- /state/vm/01UID/firecracker.log ' +
      '/state/vm/01UID/disk0.img /run/vm/01UID -- /run/vm/01UID firecracker-v1/01UID/root 7168 ' +
      'w /state/vm/01UID/firecracker.log firecracker.log r /images/vmlinux kernel r /images/initrd initrd ' +
      'w /state/vm/01UID/disk0.img disk0 r /images/golden disk1 -- ' +
      '/opt/jailer --id 01UID --exec-file /opt/firecracker-v1 --uid 77001 --gid 77001 --chroot-base-dir /run/vm/01UID -- ' +
      '--api-sock run/api.sock --log-path /firecracker.log --level Warning --metrics-path run/metrics',
  );
});

test('each file is found where it is shown, and sockets in the directory that both have', () => {
  const { socket, ...paths } = jailedPaths(config);
  expect(Object.values(paths).flat()).toEqual(shownFiles(config).map(({ name }) => `/${name}`));
  expect(socket('api.sock')).toBe('run/api.sock');
  const told = machineOf(config, 'quiet', undefined, jailedPaths(config));
  expect(told.flatMap(({ files }) => [...files])).toEqual([
    ['/kernel', '/images/vmlinux'],
    ['/initrd', '/images/initrd'],
    ['/disk0', '/state/vm/01UID/disk0.img'],
    ['/disk1', '/images/golden'],
  ]);
});

test('it is known by its uid, and as a Firecracker, from its start to the program in its jail', () => {
  const jailer = argv.slice(argv.indexOf('/opt/jailer'));
  const own = ['/firecracker-v1', '--id', '01UID', '--start-time-us', '1', ...argv.slice(argv.lastIndexOf('--') + 1)];
  for (const one of [argv, jailer, own]) {
    expect(isOf(config)(one)).toBe(true);
    expect(isOf({ uid: '01OTHER' })(one)).toBe(false);
    expect(isJailed(one)).toBe(true);
    expect(isProgram('firecracker', one, one[0] ?? '')).toBe(true);
  }
  expect(isJailed(['firecracker', '--id', '01UID', '--api-sock', 'api.sock'])).toBe(false);
});

import { expect, test } from 'vitest';
import type { VmmConfig } from '../../ports/vmm.ts';
import { firecrackerArgv } from './argv.ts';
import { isOf, isProgram, openFiles, openPaths } from './layout.ts';
import { OPEN_STARTER } from './ready-perl.ts';

const config: VmmConfig = {
  ...{ uid: '01UID', runDirectory: '/run/vm/01UID', stateDirectory: '/state/vm/01UID', user: 77_001 },
  ...{ vcpu: 2, memoryInMb: 64, kernel: '/images/vmlinux', cmdline: '', nics: [] },
  disks: [
    { id: 'root', path: '/state/vm/01UID/disk0.img', format: 'raw', readOnly: false, isRoot: true },
    { id: 'data', path: '/images/golden', format: 'raw', readOnly: true, isRoot: false },
  ],
};

test('it begins as its own user, with nothing of root, and only with the groups that its devices need', () => {
  const argv = firecrackerArgv(config, { binary: '/opt/firecracker', groups: [] });
  expect(argv.map((word) => (word === OPEN_STARTER ? 'STARTER' : word)).join(' ')).toBe(
    'perl -e STARTER -- 77001 /run/vm/01UID/console.in /run/vm/01UID/metrics -- /state/vm/01UID/firecracker.log ' +
      '/state/vm/01UID/disk0.img /run/vm/01UID -- -- /opt/firecracker --id 01UID --api-sock api.sock --log-path /proc/self/fd/3 --level Warning --metrics-path metrics',
  );
  expect(firecrackerArgv(config, { binary: 'firecracker', groups: [104, 7] }).join(' ')).toContain(
    ' -- 104 7 -- firecracker ',
  );
  const options = { 'firecracker.pci': 'on' };
  expect(firecrackerArgv({ ...config, options }, { binary: 'firecracker', groups: [] }).at(-1)).toBe('--enable-pci');
  // However JSON writes what metadata may be.
  const metadata = { version: 'v1', data: {} } as const;
  expect(firecrackerArgv({ ...config, metadata }, { binary: 'firecracker', groups: [] }).slice(-2)).toEqual([
    ...['--http-api-max-payload-size', '1048576'],
  ]);
});

test('each file is found open where it is told to be, and what it may not write to cannot be written to', () => {
  const opened = openFiles({ ...config, initrd: '/images/initrd' });
  const { log, kernel, initrd, disks } = openPaths({ ...config, initrd: '/images/initrd' });
  const at = (path: string | undefined) => opened[Number(path?.replace('/proc/self/fd/', '')) - 3];
  expect([log, kernel, initrd, ...disks].map(at)).toEqual([
    { path: '/state/vm/01UID/firecracker.log' },
    { path: '/images/vmlinux', readOnly: true },
    { path: '/images/initrd', readOnly: true },
    { path: '/state/vm/01UID/disk0.img' },
    { path: '/images/golden', readOnly: true },
  ]);
  expect(openPaths(config).disks).toEqual(['/proc/self/fd/5', '/proc/self/fd/6']);
});

test('a process is known by its uid, before and after it has become Firecracker', () => {
  const argv = firecrackerArgv(config, { binary: 'firecracker', groups: [] });
  const own = argv.slice(argv.indexOf('firecracker'));
  for (const one of [argv, own]) expect(isOf(config)(one)).toBe(true);
  expect(isOf({ uid: '01OTHER' })(argv)).toBe(false);
  expect(isOf(config)(['firecracker', '01UID'])).toBe(false);
  expect(isOf(config)([])).toBe(false);
});

test.each([
  [['firecracker', '--id', 'x'], '/usr/bin/firecracker', true],
  [['/opt/x'], '/usr/bin/firecracker (deleted)', true],
  [['perl', '-e', '', '--', 'firecracker', '--api-sock', 'api.sock'], '/usr/bin/perl', true],
  [['less', 'firecracker'], '/usr/bin/less', false],
  [[], '', false],
])('%j run by %s is Firecracker: %s', (argv, exe, expected) => {
  expect(isProgram('firecracker', argv, exe)).toBe(expected);
});

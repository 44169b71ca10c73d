import { expect, test } from 'vitest';
import { Fault } from '../../domain/fault.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import { startArgv, staysOf } from './argv.ts';
import { diskOperationsIn } from './counters.ts';
import { explained } from './explained.ts';
import { eventsFile, isOf, isProgram, pathsOf } from './layout.ts';
import { interfaceOf, machineOf, macvtapsIn } from './machine.ts';

const config: VmmConfig = {
  ...{ uid: '01UID', runDirectory: '/run/f/01UID', stateDirectory: '/var/f/01UID', user: 70_001 },
  ...{ vcpu: 2, memoryInMb: 256, kernel: '/images/vmlinux', initrd: '/images/initrd', cmdline: 'quiet' },
  disks: [
    { id: 'root', path: '/var/f/01UID/disk0.img', format: 'raw', readOnly: false, isRoot: true },
    { id: 'shared', path: '/images/golden', format: 'raw', readOnly: true, isRoot: false },
  ],
  nics: [
    { device: 'tap0', mac: '02:00:00:00:00:01' },
    { device: 'mvt0', mac: '02:00:00:00:00:02', node: '/dev/tap7' },
  ],
};

test('kernel, initrd and disks are named by the descriptors that the starter gives them', () => {
  const argv = startArgv(config, { binary: '/usr/bin/ch', stays: true });
  const files = argv.slice(argv.indexOf('/run/f/01UID/api.sock') + 1, argv.lastIndexOf('--'));
  expect(files).toEqual([
    ...['r', '/images/vmlinux', 'r', '/images/initrd'],
    ...['w', '/var/f/01UID/disk0.img', 'r', '/images/golden'],
    ...['d', '/run/f/01UID/agent'],
  ]);
  const machine = machineOf(config, 'words', false);
  expect(machine.payload).toEqual({ kernel: '/proc/self/fd/23', initramfs: '/proc/self/fd/24', cmdline: 'words' });
  expect(machine.disks).toEqual([
    { path: '/proc/self/fd/25', readonly: false, image_type: 'Raw', serial: 'root' },
    { path: '/proc/self/fd/26', readonly: true, image_type: 'Raw', serial: 'shared' },
  ]);
  expect(machine.vsock).toEqual({ cid: 3, socket: '/proc/self/fd/27/vsock' });
  expect(machine).toMatchObject({ cpus: { boot_vcpus: 2, max_vcpus: 2 }, memory: { size: 268_435_456 } });
  const { initrd: _, ...without } = config;
  expect(machineOf(without, '', false).disks[0]?.path).toBe('/proc/self/fd/24');
  const off = { ...config, options: { agent: 'off' } };
  expect(startArgv(off, { binary: 'x', stays: true })).not.toContain('d');
  expect(machineOf(off, '', false).vsock).toBeUndefined();
  expect(machine).not.toHaveProperty('landlock_enable');
  expect(machine).not.toHaveProperty('balloon');
  expect(machineOf({ ...config, options: { balloon: 'on' } }, '', false)).toMatchObject({
    balloon: { size: 0, deflate_on_oom: true, free_page_reporting: true },
  });
});

test('what lies below an overlay is opened for it, allowed by name, and the last of all', () => {
  const [root, shared] = config.disks;
  if (!root || !shared) throw new Error('no disks');
  const overlay = (n: number) => ({
    ...{ ...root, id: `o${n}`, path: `/var/f/01UID/disk${n}.qcow2`, format: 'qcow2' as const },
    backing: `/images/base${n}`,
  });
  const laid = { ...config, disks: [overlay(0), shared, overlay(2)] };
  const argv = startArgv(laid, { binary: '/usr/bin/ch', stays: true });
  expect(argv.slice(argv.indexOf('/images/initrd') + 1, argv.lastIndexOf('--'))).toEqual([
    ...['q', '/var/f/01UID/disk0.qcow2', '/proc/self/fd/29', 'r', '/images/golden'],
    ...['q', '/var/f/01UID/disk2.qcow2', '/proc/self/fd/30'],
    ...['d', '/run/f/01UID/agent', 'r', '/images/base0', 'r', '/images/base2'],
  ]);
  const machine = machineOf(laid, '', true);
  expect(machine.disks).toMatchObject([
    { path: '/proc/self/fd/25', image_type: 'Qcow2', backing_files: true, num_queues: 1 },
    { path: '/proc/self/fd/26', image_type: 'Raw' },
    { path: '/proc/self/fd/27', image_type: 'Qcow2', backing_files: true },
  ]);
  expect(machine.vsock?.socket).toBe('/proc/self/fd/28/vsock');
  expect(machine).toMatchObject({
    landlock_enable: true,
    landlock_rules: [
      { path: '/proc/self/fd/29', access: 'r' },
      { path: '/proc/self/fd/30', access: 'r' },
    ],
  });
});

test('a file that was kept from it is named, with why', () => {
  const refusal = new Fault('refused', 'Cloud Hypervisor refused vm.boot: open: //proc/self/fd/25: (os error 13)', {
    reason: 'ProviderRefused',
  });
  const told = (isConfined: boolean) => (explained(refusal, { config, isConfined }) as Fault).message;
  expect(told(true)).toMatch(
    /open: \/var\/f\/01UID\/disk0\.img: \(os error 13\): Landlock lets .*-landlock off does without/,
  );
  expect(told(false)).toMatch(/disk0\.img: \(os error 13\): the microVM's own user may not open it/);
  const other = new Fault('tool', 'Cannot allocate memory', { reason: 'ProviderRefused' });
  expect(explained(other, { config, isConfined: true })).toBe(other);
});

test('a process is known by its command line, from the starter on', () => {
  const argv = startArgv(config, { binary: 'cloud-hypervisor', stays: false });
  const later = argv.slice(argv.lastIndexOf('--') + 1);
  for (const words of [argv, later]) {
    expect(isOf(config)(words)).toBe(true);
    expect(isOf({ uid: '01OTHER' })(words)).toBe(false);
    expect(staysOf(words)).toBe(false);
  }
  expect(staysOf(startArgv(config, { binary: 'x', stays: true }))).toBe(true);
  expect(isProgram('/opt/ch', later, '/opt/ch (deleted)')).toBe(true);
  expect(isProgram('/opt/ch', ['node', '/opt/ch', '--event-monitor', 'path=x'], '/usr/bin/node')).toBe(true);
  const daemon = ['node', 'flintlockd', 'run', '--cloudhypervisor-bin', '/opt/ch'];
  expect(isProgram('/opt/ch', daemon, '/usr/bin/node')).toBe(false);
  expect(isProgram('/opt/ch', ['sleep'], '/usr/bin/sleep')).toBe(false);
  expect(pathsOf(config)).toContain(eventsFile(config));
});

test('which interfaces are macvtaps is told by the machine itself', () => {
  const net = config.nics.map(interfaceOf);
  expect(net).toEqual([
    { id: 'tap0', mac: '02:00:00:00:00:01' },
    { id: 'macvtap1', mac: '02:00:00:00:00:02' },
  ]);
  expect(macvtapsIn({ net })).toEqual([false, true]);
  for (const odd of [undefined, {}, { net: null }, { net: 7 }]) expect(macvtapsIn(odd)).toEqual([]);
});

test('reads and writes of disks are counted, and nothing else', () => {
  const counters = {
    _disk0: { read_ops: 3, write_ops: 4, read_latency_min: 18446744073709551615n.toString() },
    _disk1: { read_ops: 1, write_ops: 2 ** 60 },
    tap0: { rx_frames: 9 },
  };
  expect(diskOperationsIn(counters)).toBe(8);
  expect(diskOperationsIn({})).toBe(0);
  expect(diskOperationsIn([])).toBeUndefined();
});

import { expect, test } from 'vitest';
import type { VmmConfig } from '../../ports/vmm.ts';
import { startArgv, staysOf } from './argv.ts';
import { diskOperationsIn } from './counters.ts';
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
  const machine = machineOf(config, 'words');
  expect(machine.payload).toEqual({ kernel: '/proc/self/fd/23', initramfs: '/proc/self/fd/24', cmdline: 'words' });
  expect(machine.disks).toEqual([
    { path: '/proc/self/fd/25', readonly: false, image_type: 'Raw', serial: 'root' },
    { path: '/proc/self/fd/26', readonly: true, image_type: 'Raw', serial: 'shared' },
  ]);
  expect(machine.vsock).toEqual({ cid: 3, socket: '/proc/self/fd/27/vsock' });
  expect(machine).toMatchObject({ cpus: { boot_vcpus: 2, max_vcpus: 2 }, memory: { size: 268_435_456 } });
  const { initrd: _, ...without } = config;
  expect(machineOf(without, '').disks[0]?.path).toBe('/proc/self/fd/24');
  const off = { ...config, options: { agent: 'off' } };
  expect(startArgv(off, { binary: 'x', stays: true })).not.toContain('d');
  expect(machineOf(off, '').vsock).toBeUndefined();
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

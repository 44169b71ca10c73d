import { describe, expect, test } from 'vitest';
import type { VmmConfig } from '../../ports/vmm.ts';
import { openNodes, qemuArgv } from './argv.ts';
import { isOf, isProgram } from './layout.ts';

const config: VmmConfig = {
  uid: '01JD8ZZZZZZZZZZZZZZZZZZZZZ',
  runDirectory: '/run/flintlock/x',
  stateDirectory: '/var/lib/flintlock/vm/x',
  user: 70_001,
  vcpu: 2,
  memoryInMb: 96,
  kernel: '/images/k,1/vmlinuz',
  cmdline: '',
  disks: [],
  nics: [],
};
const machine = { binary: 'qemu-system-x86_64', accelerator: 'tcg', acpi: true, userSwitch: 'runas' } as const;

/** The values given to an option, in order. */
const valuesOf = (argv: readonly string[], option: string): string[] =>
  argv.flatMap((word, i) => (word === option ? [argv[i + 1] ?? ''] : []));
const jsonOf = (argv: readonly string[], option: string): unknown[] =>
  valuesOf(argv, option)
    .filter((value) => value.startsWith('{'))
    .map((value) => JSON.parse(value));

describe('what confines QEMU', () => {
  const argv = qemuArgv(config, machine, 'quiet');

  test('it can gain no rights, has its sandbox on and becomes the user of this microVM', () => {
    const bounding = '--bounding-set=-all,+net_admin,+dac_override,+setuid,+setgid';
    expect(argv.slice(0, 4)).toEqual(['setpriv', '--no-new-privs', bounding, 'qemu-system-x86_64']);
    expect(valuesOf(argv, '-sandbox')).toEqual(['on,obsolete=deny,spawn=deny,resourcecontrol=deny']);
    expect(valuesOf(argv, '-runas')).toEqual(['70001:70001']);
    const newer = qemuArgv(config, { ...machine, userSwitch: 'run-with' }, 'quiet');
    expect(valuesOf(newer, '-run-with')).toEqual(['user=70001:70001']);
    expect(newer).not.toContain('-runas');
    expect(argv).toContain('-no-user-config');
    expect(argv).toContain('-nodefaults');
  });

  test('an emulated CPU does not promise that copies by bytes are fast; under KVM it is the host’s own', () => {
    expect(valuesOf(argv, '-cpu')).toEqual(['max,-erms,-fsrm']);
    expect(valuesOf(qemuArgv(config, { ...machine, accelerator: 'kvm' }, ''), '-cpu')).toEqual(['host']);
  });

  test('the kernel, its words and the size are those of the spec', () => {
    expect(valuesOf(argv, '-kernel')).toEqual(['/images/k,1/vmlinuz']);
    expect(valuesOf(argv, '-append')).toEqual(['quiet']);
    expect(valuesOf(argv, '-smp')).toEqual(['2']);
    expect(valuesOf(argv, '-m')).toEqual(['96M']);
    expect(argv).not.toContain('-initrd');
    expect(valuesOf(qemuArgv({ ...config, initrd: '/i' }, machine, ''), '-initrd')).toEqual(['/i']);
  });

  test('the firmware is the one that was found to work, or QEMU’s own choice', () => {
    expect(argv).not.toContain('-bios');
    expect(valuesOf(qemuArgv(config, { ...machine, firmware: 'qboot.rom' }, ''), '-bios')).toEqual(['qboot.rom']);
  });

  test('without ACPI there is no panic device', () => {
    expect(valuesOf(argv, '-device')).toContain('pvpanic');
    const without = qemuArgv(config, { ...machine, acpi: false }, '');
    expect(valuesOf(without, '-device')).not.toContain('pvpanic');
    expect(valuesOf(without, '-machine')).toEqual(['microvm,acpi=off']);
  });

  test('a reboot stays in QEMU and a panic ends it', () => {
    expect(argv).not.toContain('-no-reboot');
    expect(valuesOf(argv, '-action')).toEqual(['reboot=reset,shutdown=poweroff,panic=shutdown']);
  });
});

describe('disks', () => {
  test('an overlay names its backing node, all formats written out', () => {
    const disk = {
      id: 'root',
      path: '/v/a,b.qcow2',
      format: 'qcow2',
      backing: '/g/gold.img',
      readOnly: false,
      isRoot: true,
    } as const;
    const argv = qemuArgv({ ...config, disks: [disk] }, machine, '');
    expect(jsonOf(argv, '-blockdev')).toEqual([
      { driver: 'file', 'node-name': 'backing-file0', filename: '/g/gold.img', 'read-only': true },
      { driver: 'raw', 'node-name': 'backing0', 'read-only': true, file: 'backing-file0' },
      { driver: 'file', 'node-name': 'file0', filename: '/v/a,b.qcow2', 'read-only': false, discard: 'unmap' },
      {
        driver: 'qcow2',
        'node-name': 'disk0',
        'read-only': false,
        file: 'file0',
        discard: 'unmap',
        backing: 'backing0',
      },
    ]);
    expect(jsonOf(argv, '-device')).toEqual([{ driver: 'virtio-blk-device', drive: 'disk0', serial: 'root' }]);
  });

  test('a qcow2 file without a backing file in the config gets none, whatever it says', () => {
    const disk = { id: 'd', path: '/v/d', format: 'qcow2', readOnly: false, isRoot: false } as const;
    expect(jsonOf(qemuArgv({ ...config, disks: [disk] }, machine, ''), '-blockdev')[1]).toMatchObject({
      backing: null,
    });
  });

  test('their order is that of the config, read-only is read-only, long ids are cut between characters', () => {
    const disks = [
      { id: 'root', path: '/v/0', format: 'raw', readOnly: true, isRoot: true },
      { id: `${'x'.repeat(19)}é`, path: '/v/1', format: 'raw', readOnly: false, isRoot: false },
    ] as const;
    const argv = qemuArgv({ ...config, disks }, machine, '');
    expect(jsonOf(argv, '-device')).toEqual([
      { driver: 'virtio-blk-device', drive: 'disk0', serial: 'root' },
      { driver: 'virtio-blk-device', drive: 'disk1', serial: 'x'.repeat(19) },
    ]);
    expect(jsonOf(argv, '-blockdev')).toMatchObject([
      { 'read-only': true },
      { 'node-name': 'disk0', 'read-only': true },
      { 'read-only': false },
      { 'node-name': 'disk1', 'read-only': false },
    ]);
  });
});

test('each interface is a tap that is there already, with the MAC of the guest', () => {
  const argv = qemuArgv({ ...config, nics: [{ device: 'flt0', mac: '02:00:00:00:00:01' }] }, machine, '');
  expect(valuesOf(argv, '-netdev')).toEqual(['tap,id=net0,ifname=flt0,script=no,downscript=no']);
  expect(jsonOf(argv, '-device')).toEqual([{ driver: 'virtio-net-device', netdev: 'net0', mac: '02:00:00:00:00:01' }]);
});

test('a macvtap is found open, behind the standard descriptors, in the order of its kind', () => {
  const nics = [
    { device: 'flt0', mac: '02:00:00:00:00:01', node: '/dev/tap7' },
    { device: 'flt1', mac: '02:00:00:00:00:02' },
    { device: 'flt2', mac: '02:00:00:00:00:03', node: '/state/macvtap2' },
  ];
  expect(openNodes({ nics })).toEqual(['/dev/tap7', '/state/macvtap2']);
  expect(valuesOf(qemuArgv({ ...config, nics }, machine, ''), '-netdev')).toEqual([
    'tap,id=net0,fd=3',
    'tap,id=net1,ifname=flt1,script=no,downscript=no',
    'tap,id=net2,fd=4',
  ]);
});

describe('identity', () => {
  const argv = qemuArgv(config, machine, '');

  test('the command line proves whose QEMU it is', () => {
    expect(isOf(config)(argv)).toBe(true);
    expect(isOf({ ...config, uid: '01JD8YYYYYYYYYYYYYYYYYYYYY' })(argv)).toBe(false);
    expect(isOf({ ...config, runDirectory: '/run/other/x' })(argv)).toBe(false);
    expect(isOf(config)(['less', config.uid, config.runDirectory])).toBe(false);
  });

  test('commas in paths are escaped', () => {
    const odd = { ...config, runDirectory: '/run/a,b', stateDirectory: '/s,t' };
    const chardevs = valuesOf(qemuArgv(odd, machine, ''), '-chardev');
    expect(chardevs).toEqual([
      'socket,id=qmp,path=/run/a,,b/qmp.sock,server=on,wait=off',
      'socket,id=console,path=/run/a,,b/console.sock,server=on,wait=off,logfile=/s,,t/console.log,logappend=on',
      'socket,id=agent,path=/run/a,,b/agent.sock,server=on,wait=off',
    ]);
    expect(isOf(odd)(qemuArgv(odd, machine, ''))).toBe(true);
  });

  test('a balloon comes behind all others, and takes the place of a device', () => {
    const options = { balloon: 'on' };
    expect(qemuArgv({ ...config, options }, machine, '').slice(-2)).toEqual([
      ...['-device', 'virtio-balloon-device,free-page-reporting=on'],
    ]);
    expect(qemuArgv(config, machine, '').join(' ')).not.toContain('balloon');
  });

  test('a vsock of the guest takes the place of its agent’s port, with a number that no other has', () => {
    const options = { 'qemu.channel': 'vsock' };
    const argv = qemuArgv({ ...config, options }, machine, '');
    expect(argv.slice(-2)).toEqual(['-device', `vhost-vsock-device,guest-cid=${config.user}`]);
    expect(argv.join(' ')).not.toMatch(/virtserialport|agent\.sock/);
    expect(qemuArgv({ ...config, options: { ...options, agent: 'off' } }, machine, '').join(' ')).not.toContain(
      'vsock',
    );
  });

  test('the port of the agent comes last, and not where it is not wanted or all places are taken', () => {
    const ports = (more: Partial<VmmConfig>, acpi = true): number =>
      qemuArgv({ ...config, ...more }, { ...machine, acpi }, '').filter((word) => word.includes('flintlock.agent'))
        .length;
    expect(qemuArgv(config, machine, '').at(-1)).toBe('virtserialport,chardev=agent,name=flintlock.agent');
    expect(ports({ options: { agent: 'off' } })).toBe(0);
    const nics = (count: number) =>
      Array.from({ length: count }, (_, i) => ({ device: `fl${i}`, mac: '02:00:00:00:00:01' }));
    expect([22, 23].map((count) => ports({ disks: [], nics: nics(count) }))).toEqual([1, 0]);
    expect([6, 7].map((count) => ports({ disks: [], nics: nics(count) }, false))).toEqual([1, 0]);
  });

  test('a program is known by its file, or while setpriv still runs by its argument', () => {
    expect(isProgram('qemu-system-x86_64', ['qemu-system-x86_64', '-name'], '')).toBe(true);
    expect(isProgram('/opt/qemu', ['/opt/qemu'], '/opt/qemu (deleted)')).toBe(true);
    expect(isProgram('/opt/qemu', ['setpriv', '--no-new-privs', '/opt/qemu'], '/usr/bin/setpriv')).toBe(true);
    expect(isProgram('qemu-system-x86_64', ['grep', 'qemu-system-x86_64'], '/usr/bin/grep')).toBe(false);
    expect(isProgram('qemu-system-x86_64', [], '')).toBe(false);
  });
});

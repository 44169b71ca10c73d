import { expect, test } from 'vitest';
import { qemuArgv } from './qemu.ts';

const MACHINE = {
  ...{ qemu: '/q', kernel: '/k', initrd: '/i', memoryMb: 2_048, cpus: 1, tscKhz: 2_000_000, out: undefined },
  directory: '/tmp/lab',
};

test('this machine is shared read-only, and what comes back is not', () => {
  const fsdevs = (out?: string) => qemuArgv({ ...MACHINE, out }).filter((word) => word.startsWith('local,'));
  expect(fsdevs()).toEqual(['local,id=below,path=/,security_model=none,multidevs=remap,readonly=on']);
  expect(fsdevs('/tmp/a,b').slice(1)).toEqual(['local,id=out,path=/tmp/a,,b,security_model=none,multidevs=remap']);
});

test('its clock goes by the rate that is known, else by what it measures', () => {
  const cmdline = (tscKhz: number | undefined) => {
    const argv = qemuArgv({ ...MACHINE, tscKhz });
    return argv[argv.indexOf('-append') + 1];
  };
  expect(cmdline(2_000_000)).toMatch(/ tsc_early_khz=2000000$/);
  expect(cmdline(undefined)).not.toContain('tsc_early_khz');
});

test('a panic ends it, and nothing reaches the network', () => {
  const argv = qemuArgv(MACHINE);
  expect(argv).toContain('-no-reboot');
  expect(argv[argv.indexOf('-append') + 1]).toContain('panic=-1');
  expect(argv.filter((word) => /netdev|^-nic|virtio-net/.test(word))).toEqual([]);
});

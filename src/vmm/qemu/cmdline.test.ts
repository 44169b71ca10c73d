import { describe, expect, test } from 'vitest';
import { keysOf } from '../../domain/kernel-cmdline.ts';
import { commandLine } from './cmdline.ts';

const root = { isRoot: true, readOnly: false };
const data = { isRoot: false, readOnly: false };

describe('the defaults', () => {
  test('a guest without a root volume is told console, reboot and panic', () => {
    expect(commandLine({ cmdline: '', disks: [] })).toBe('console=ttyS0 reboot=t panic=-1');
  });

  test('a guest under software emulation is told the rate of its clock', () => {
    expect(commandLine({ cmdline: '', disks: [], tscKhz: 2596132 })).toBe(
      'console=ttyS0 reboot=t panic=-1 tsc_early_khz=2596132 tsc=reliable',
    );
  });

  test('the root is rw, and ro exactly when its volume is read-only', () => {
    expect(commandLine({ cmdline: '', disks: [root, data] })).toMatch(/ root=\/dev\/vda rw$/);
    expect(commandLine({ cmdline: '', disks: [{ ...root, readOnly: true }] })).toMatch(/ root=\/dev\/vda ro$/);
  });

  test('the root is named by its place, wherever it is', () => {
    expect(commandLine({ cmdline: '', disks: [data, root] })).toContain('root=/dev/vdb rw');
  });

  test('a root in a partition is named by that', () => {
    const disks = [{ ...root, readOnly: true, partitionUuid: 'aa-bb' }, data];
    expect(commandLine({ cmdline: '', disks })).toMatch(/ root=PARTUUID=aa-bb ro$/);
    expect(commandLine({ cmdline: 'root=/dev/vdb', disks })).not.toContain('PARTUUID');
  });

  test("words for the guest stand before the user's, whose key wins", () => {
    const guestWords = ['flintlock.mount=vdb:/a', 'flintlock.mount=vdc:/b', 'network-config=eA=='];
    expect(commandLine({ cmdline: 'quiet -- x', disks: [], guestWords })).toBe(
      `console=ttyS0 reboot=t panic=-1 ${guestWords.join(' ')} quiet -- x`,
    );
    expect(commandLine({ cmdline: 'network-config=disabled', disks: [], guestWords })).toBe(
      `console=ttyS0 reboot=t panic=-1 ${guestWords.slice(0, 2).join(' ')} network-config=disabled`,
    );
  });

  test('data volumes alone make no root', () => {
    expect(commandLine({ cmdline: '', disks: [data] })).not.toContain('root=');
  });
});

describe("the user's words", () => {
  const withRoot = (cmdline: string): string => commandLine({ cmdline, disks: [root], tscKhz: 1 });

  test('stand after ours, as written', () => {
    expect(withRoot(' quiet  loglevel=3 ')).toBe(
      'console=ttyS0 reboot=t panic=-1 tsc_early_khz=1 tsc=reliable root=/dev/vda rw quiet  loglevel=3',
    );
  });

  test.each([
    ['console=tty0 quiet', 'console=ttyS0'],
    ['panic=10', 'panic=-1'],
    ['reboot=k', 'reboot=t'],
    ['tsc_early_khz=5', 'tsc_early_khz=1'],
    ['tsc=unstable', 'tsc=reliable'],
    ['tsc-early-khz=5', 'tsc_early_khz=1'],
    ['root=PARTUUID=aa-bb', 'root=/dev/vda'],
    ['"root=LABEL=my disk"', 'root=/dev/vda'],
    ['panic', 'panic=-1'],
  ])('%j takes %j away', (given, ours) => {
    const line = withRoot(given);
    expect(line.endsWith(` ${given}`)).toBe(true);
    expect(line.split(' ')).not.toContain(ours);
  });

  test('ro and rw are one key', () => {
    expect(withRoot('ro').split(' ')).toEqual(expect.arrayContaining(['ro']));
    expect(withRoot('ro').split(' ')).not.toContain('rw');
    expect(commandLine({ cmdline: 'rw', disks: [{ ...root, readOnly: true }] }).split(' ')).not.toContain('ro');
  });

  test('a key inside a quoted value is none', () => {
    expect(withRoot('dyndbg="file x ro panic=3"')).toContain(' panic=-1 ');
    expect(withRoot('dyndbg="file x ro panic=3"')).toContain(' rw ');
  });

  test('what stands after -- belongs to init', () => {
    expect(withRoot('quiet -- ro panic=3')).toBe(
      'console=ttyS0 reboot=t panic=-1 tsc_early_khz=1 tsc=reliable root=/dev/vda rw quiet -- ro panic=3',
    );
  });

  test('a key that only begins like ours does not count', () => {
    expect(withRoot('consoleblank=0 rootwait panic_on_oops=1')).toContain(
      'console=ttyS0 reboot=t panic=-1 tsc_early_khz=1 tsc=reliable root=/dev/vda rw',
    );
  });
});

test('keys are found as Linux finds them', () => {
  expect([...keysOf('a b=1 "c=2 3" d="4 5"\tno-dash -- e')]).toEqual(['a', 'b', 'c', 'd', 'no_dash']);
  expect([...keysOf('x="never ends -- y')]).toEqual(['x']);
  expect([...keysOf('')]).toEqual([]);
});

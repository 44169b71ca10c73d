import { describe, expect, test } from 'vitest';
import { emergencyIn, emergencyText, gaveUpBefore } from './emergency.ts';

/** As they stand on a console. */
const lines = (...all: readonly string[]): string => all.map((line) => `${line}\r\n`).join('');

describe('an initrd or init that gives up', () => {
  test.each([
    [
      'initramfs-tools',
      lines(
        'Gave up waiting for root file system device.  Common problems:',
        'ALERT!  UUID=0a-1 does not exist.  Dropping to a shell!',
      ),
      '"ALERT! UUID=0a-1 does not exist. Dropping to a shell!"',
    ],
    ['initramfs-tools without an init', lines('No init found. Try passing init= bootarg.'), '"No init found. '],
    [
      'dracut',
      lines(
        '[  190.2] dracut-initqueue[275]: Warning: dracut-initqueue: timeout, still waiting for hooks:',
        '[  191.0] dracut-initqueue[275]: Warning: /dev/disk/by-uuid/0a-1 does not exist',
        '',
        'Generating "/run/initramfs/rdsosreport.txt"',
        'Entering emergency mode. Exit the shell to continue.',
      ),
      '"/dev/disk/by-uuid/0a-1 does not exist", and then "Entering emergency mode.',
    ],
    [
      'systemd, whose fstab names a disk that is not there',
      lines(
        '[\u001b[0;1;31m TIME \u001b[0m] Timed out waiting for device \u001b[0;1;39m/dev/disk/by-label/UEFI\u001b[0m.',
        '[\u001b[0;1;38;5;185mDEPEND\u001b[0m] Dependency failed for \u001b[0;1;39m/boot/efi\u001b[0m.',
        'You are in emergency mode. After logging in, type "journalctl -xb" to view',
      ),
      '"Timed out waiting for device /dev/disk/by-label/UEFI.", and then "You are in emergency mode."',
    ],
    [
      'systemd, which stands still',
      lines('[\u001b[0;1;31m!!!!!!\u001b[0m] Failed to load SELinux policy.', 'systemd[1]: Freezing execution.'),
      '"Failed to load SELinux policy."',
    ],
    [
      'mkinitcpio',
      lines("ERROR: device '/dev/vdz' not found. Skipping fsck.", 'You are now being dropped into an emergency shell.'),
      `"device '/dev/vdz' not found. Skipping fsck.", and then "You are now being dropped`,
    ],
    [
      'Alpine',
      lines(
        'mount: mounting /dev/vdz on /sysroot failed: No such file or directory',
        "initramfs emergency recovery shell launched. Type 'exit' to continue boot",
      ),
      '"mount: mounting /dev/vdz on /sysroot failed: No such file or directory", and then "initramfs emergency',
    ],
  ])('%s', (_, text, told) => {
    expect(emergencyText(emergencyIn(text))).toContain(told);
    // It comes in pieces.
    let heard = {};
    for (const line of text.split(/(?<=\n)/)) heard = emergencyIn(line, heard);
    expect(emergencyText(heard)).toContain(told);
  });

  test('is one only where it says so', () => {
    const well = lines('[  OK  ] Reached target Local File Systems.', 'Debian GNU/Linux 13 web ttyS0', 'web login:');
    expect(emergencyIn(well)).toEqual({});
    expect(emergencyIn(lines('[DEPEND] Dependency failed for /data.', 'web login:')).words).toBeUndefined();
  });
});

test('a guest that was reset gave up where its initrd said that it reboots for that', () => {
  const alert = 'ALERT!  /dev/vda does not exist.  Dropping to a shell!';
  const reboots = 'Rebooting automatically due to panic= boot argument';
  expect(gaveUpBefore(lines(alert, reboots))).toContain('gave up and reset the machine, and would again: "ALERT!');
  expect(gaveUpBefore(lines(alert))).toBeUndefined();
  expect(gaveUpBefore(lines(reboots))).toBeUndefined();
});

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BootedGuest, makeDisk, unpackImage } from '../test/support/boot.ts';
import { leaveToProofs } from '../test/support/proofs.ts';

const scratch = mkdtempSync(join(tmpdir(), 'flintlock-debian-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const tree = join(scratch, 'debian');
const kernel = join(scratch, 'small/boot/vmlinux');
const initrd = join(scratch, 'small/initrd');
beforeAll(() => {
  unpackImage('kernel:latest', join(scratch, 'small'));
  unpackImage('debian:latest', tree);
});

const USER_DATA = `#cloud-config
write_files:
 - {path: /root/written, content: "by cloud-init"}
runcmd:
 - [sh, -c, 'echo "seen: $(cat /root/written), I am $(hostname), lan has $(ip -4 -o addr show lan | awk "{ print \\$4 }")" >/dev/console']
 - [sh, -c, 'systemctl --failed --no-legend --plain | sed "s/^/failed: /" >/dev/console']
 - [systemctl, poweroff]
`;
const NETWORK = `version: 2
ethernets:
  lan: {match: {macaddress: "52:54:00:00:00:0a"}, set-name: lan, addresses: [10.9.0.5/24]}
`;

test('Debian with systemd boots on the small kernel, and cloud-init does what its seed says', {
  timeout: 300_000,
}, async (context) => {
  // In `npm test` the conformance suite boots it, with a seed by disk and by the service.
  leaveToProofs(context);
  // Where cloud-init looks first: a disk or the metadata service are tried by the tests of the daemon.
  const seed = join(tree, 'var/lib/cloud/seed/nocloud');
  mkdirSync(seed, { recursive: true });
  writeFileSync(join(seed, 'meta-data'), 'instance-id: i-1\nlocal-hostname: seeded\n');
  writeFileSync(join(seed, 'user-data'), USER_DATA);
  writeFileSync(join(seed, 'network-config'), NETWORK);
  makeDisk(tree, join(scratch, 'debian.img'), '640M');
  await using guest = new BootedGuest({
    ...{ kernel, initrd, memoryInMb: 512 },
    cmdline: 'root=/dev/vda rw systemd.show_status=no flintlock.nic=52:54:00:00:00:0a,wrong,10.1.1.1/24',
    disks: [{ file: join(scratch, 'debian.img') }],
    nics: ['52:54:00:00:00:0a'],
  });
  await guest.ends(240_000);
  expect(guest.console).toContain('flintlock-guest: configuration left to cloud-init\n');
  expect(guest.console).toContain('seen: by cloud-init, I am seeded, lan has 10.9.0.5/24\n');
  expect(guest.console).not.toMatch(/^failed: /m);
});

test('Debian without its init gets one', { timeout: 300_000 }, async (context) => {
  leaveToProofs(context); // run.test.ts has images without an init, guests.e2e.test.ts the initrd that gives one
  // Both names of it: systemd's own is looked for too.
  for (const name of ['sbin/init', 'lib/systemd/systemd']) rmSync(join(tree, name), { force: true });
  makeDisk(tree, join(scratch, 'plain.img'), '640M');
  await using guest = new BootedGuest({
    ...{ kernel, initrd },
    cmdline:
      'root=/dev/vda rw flintlock.nic=52:54:00:00:00:0a,lan,10.1.1.1/24 -- /usr/bin/python3 -c print("Python",open("/proc/1/comm").read())',
    disks: [{ file: join(scratch, 'plain.img') }],
    nics: ['52:54:00:00:00:0a'],
  });
  await guest.ends();
  expect(guest.console).toContain('configured nics=lan:10.1.1.1/24 mounts=none\n');
  expect(guest.console).toMatch(/^Python (sh|busybox)\n/m);
  expect(guest.console).toContain('flintlock-guest: run exit=0\n');
});

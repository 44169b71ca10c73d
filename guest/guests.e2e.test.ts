/** What kernels and images do without any daemon; see docs/guests.md for what is promised. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BOOTS, type Boot, BootedGuest, makeDisk, unpackImage } from '../test/support/boot.ts';
import { isProof } from '../test/support/proofs.ts';
import { writeDemoTree } from './demo-tree.ts';

const scratch = mkdtempSync(join(tmpdir(), 'flintlock-guests-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

let small: Pick<Boot, 'kernel' | 'initrd'>;
let demo: Pick<Boot, 'kernel' | 'initrd'>;
/** Where it is nobody's concern: the one that starts sooner. */
let any: Pick<Boot, 'kernel' | 'initrd'>;
beforeAll(() => {
  unpackImage('kernel:latest', join(scratch, 'small'));
  unpackImage('demo:kernel', join(scratch, 'demo'));
  small = { kernel: join(scratch, 'small/boot/vmlinux'), initrd: join(scratch, 'small/initrd') };
  demo = { kernel: join(scratch, 'demo/boot/vmlinux'), initrd: join(scratch, 'demo/initrd') };
  any = isProof ? demo : small;
});

const MACS = ['52:54:00:00:00:0a', '52:54:00:00:00:0b', '52:54:00:00:00:0c'] as const;
/** Two of them have each other's name. */
const WORDS = [
  `flintlock.nic=${MACS[0]},eth1,10.9.0.5/24,10.9.0.1,1.1.1.1,9.9.9.9`,
  `flintlock.nic=${MACS[1]},eth0,10.8.0.5/16`,
  `flintlock.nic=${MACS[2]},web0`,
  'flintlock.mount=vdb:/data/in%20side:ro',
  'flintlock.mount=vdc:/data',
].join(' ');
const CONFIGURED =
  /^flintlock-guest: configured nics=eth1:10\.9\.0\.5\/24,eth0:10\.8\.0\.5\/16,web0:dhcp mounts=\/data:rw,\/data\/in%20side:ro$/m;

type Files = Readonly<Record<string, string>>;

function write(tree: string, files: Files): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), content, { mode: 0o755 });
  }
}

let made = 0;
/** A disk of busybox as its only program, and of files. */
function disk(files: Files, programs: readonly string[] = []): { file: string } {
  const tree = join(scratch, `tree${++made}`);
  mkdirSync(join(tree, 'bin'), { recursive: true });
  if (programs.length > 0) copyFileSync('/bin/busybox', join(tree, 'bin/busybox'));
  for (const program of programs) symlinkSync('/bin/busybox', join(tree, 'bin', program));
  write(tree, files);
  makeDisk(tree, `${tree}.img`, '24M');
  return { file: `${tree}.img` };
}

/** The demo root, with a program of its own. */
function demoDisk(run: string): { file: string } {
  const tree = join(scratch, `tree${++made}`);
  writeDemoTree(tree);
  write(tree, { '/etc/flintlock/run': `#!/bin/sh\n${run}` });
  makeDisk(tree, `${tree}.img`, '32M');
  return { file: `${tree}.img` };
}

/** What was asked for by WORDS, as the guest sees it. */
const LOOK = `
for nic in eth0 eth1 web0; do echo "$nic has $(cat /sys/class/net/$nic/address) $(ip -4 -o addr show dev $nic | awk '{print $4}')"; done
ip route | sed -n 's/^default/by default/p'
cat /etc/resolv.conf
cat '/data/in side/second' /data/first
touch /data/new && echo 'first is writable'
touch '/data/in side/new' || echo 'second is not'
`;
function expectConfigured(said: string): void {
  expect(said).toMatch(CONFIGURED);
  expect(said).toContain(`eth1 has ${MACS[0]} 10.9.0.5/24`);
  expect(said).toContain(`eth0 has ${MACS[1]} 10.8.0.5/16`);
  expect(said).toContain(`web0 has ${MACS[2]} 10.0.2.15/24`);
  expect(said).toMatch(/^by default via 10\.9\.0\.1 dev eth1/m);
  expect(said).toContain('nameserver 1.1.1.1\nnameserver 9.9.9.9\n');
  expect(said).toContain('the second\nthe first\nfirst is writable\n');
  expect(said).toContain('second is not\n');
}
const dataDisks = () => [disk({ second: 'the second\n' }), disk({ first: 'the first\n', 'in side/x': '' })];

describe('the small kernel', BOOTS, () => {
  test('boots the demo root without an initrd, in 64 MB, with all that was asked for', async () => {
    await using guest = new BootedGuest({
      kernel: small.kernel,
      memoryInMb: 64,
      cmdline: `root=/dev/vda rw ${WORDS}`,
      disks: [demoDisk(`${LOOK}poweroff\n`), ...dataDisks()],
      nics: MACS,
    });
    await guest.ends();
    expectConfigured(guest.console);
    expect(guest.console).toMatch(
      /^flintlock-guest: up ip=\S+ volumes=vda:rw,vdb:rw,vdc:rw mem=\d+M cpus=1 kernel=\S+-microvm/m,
    );
  });

  test('has an initrd as well, which gives an image without an init one', async () => {
    await using guest = new BootedGuest({
      ...small,
      cmdline: 'root=/dev/vda rw -- /bin/echo nothing but me',
      disks: [disk({}, ['echo'])],
    });
    await guest.ends();
    expect(guest.console).toMatch(/^nothing but me\nflintlock-guest: run exit=0$/m);
  });
});

describe('an image without an init', BOOTS, () => {
  test('gets all that was asked for, and runs the words after --', async () => {
    await using guest = new BootedGuest({
      ...demo,
      cmdline: `root=/dev/vda rw ${WORDS} -- /bin/sh /look`,
      disks: [disk({ '/look': `${LOOK}exit 3\n` }, ['sh']), ...dataDisks()],
      nics: MACS,
    });
    await guest.ends();
    expectConfigured(guest.console);
    expect(guest.console).toContain('flintlock-guest: run exit=3\n');
  });

  test('is not written to when it is read-only, and still is configured', async () => {
    const look = 'cat /etc/resolv.conf; cat /data/first; cat /not/there/first; touch /x || echo the root is read-only';
    await using guest = new BootedGuest({
      ...any,
      cmdline: `root=/dev/vda ro flintlock.nic=${MACS[0]},lan,10.9.0.5/24,,9.9.9.9 flintlock.mount=vdb:/data flintlock.mount=vdb:/not/there flintlock.mount=vdb:/look/there -- /bin/sh /look`,
      disks: [
        // As container images have them.
        {
          ...disk(
            {
              '/look': look,
              '/data/x': '',
              '/etc/resolv.conf': '',
              '/dev/x': '',
              '/proc/x': '',
              '/sys/x': '',
              '/tmp/x': '',
            },
            ['sh'],
          ),
          readOnly: true,
        },
        disk({ first: 'the first\n' }),
      ],
      nics: [MACS[0]],
    });
    await guest.ends();
    // What is lacking is made beside it; what is a file stays one.
    expect(guest.console).toContain(
      'configured nics=lan:10.9.0.5/24 mounts=/data:rw,/look/there:failed,/not/there:rw\n',
    );
    expect(guest.console).toMatch(/cannot mount \/dev\/vdb on \/look\/there: the image has no such directory/);
    expect(guest.console).toContain('nameserver 9.9.9.9\nthe first\nthe first\n');
    expect(guest.console).toContain('the root is read-only\n');
  });

  test.each([{ readOnly: false }, { readOnly: true }])(
    'with a file in the place of /proc does not boot, and says why: %o',
    async (how) => {
      await using guest = new BootedGuest({
        ...any,
        cmdline: `root=/dev/vda ${how.readOnly ? 'ro' : 'rw'} panic=-1`,
        disks: [{ ...disk({ '/proc': 'none', '/look': 'echo never' }, ['sh']), ...how }],
      });
      await guest.says(
        /^flintlock-initrd: the root has no directory \/proc, and none can be made: something else is in its place$/m,
      );
    },
  );

  test("Alpine's init without OpenRC counts as none; its programs are told to end, orphans are reaped, the button works", async () => {
    const run = `#!/bin/sh
trap 'echo told to end; exit 0' TERM
(sleep 1 & ) # nobody waits for it
sleep 3
ls /proc | grep -c '^[0-9]' >/dev/null
echo "zombies: $(grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l)"
while :; do sleep 1; done
`;
    await using guest = new BootedGuest({
      ...any,
      cmdline: 'root=/dev/vda rw',
      disks: [
        disk(
          {
            '/etc/inittab': '::sysinit:/sbin/openrc sysinit\n',
            '/etc/flintlock/run': run,
            '/etc/hostname': 'alpine\n',
          },
          [...['sh', 'sleep', 'ls', 'grep', 'wc', 'init']],
        ),
      ],
    });
    await guest.says(/zombies: 0$/m);
    expect(guest.console).toMatch(/^flintlock-guest: up ip=none volumes=vda:rw/m);
    await guest.says(/# /); // a shell on the console
    await guest.pressPower();
    await guest.ends();
    expect(guest.console).toMatch(/flintlock-guest: going down/);
    expect(guest.console).toContain('told to end');
  });
});

test('an image with an init of its own, but no cloud-init, is configured before that begins', BOOTS, async () => {
  await using guest = new BootedGuest({
    ...any,
    cmdline: `root=/dev/vda rw ${WORDS}`,
    disks: [
      disk(
        { '/sbin/init': `#!/bin/sh\necho "my own init is $$"; mount | grep ' /run '\nls /run\n${LOOK}poweroff -f\n` },
        [...['sh', 'cat', 'touch', 'ip', 'awk', 'sed', 'mount', 'grep', 'ls', 'poweroff']],
      ),
      ...dataDisks(),
    ],
    nics: MACS,
  });
  await guest.ends();
  expect(guest.console).toContain('my own init is 1\n');
  // Nothing of ours is left in its way.
  expect(guest.console).not.toMatch(/busybox|udhcpc\.script/);
  expectConfigured(guest.console);
});

test.each([
  '/lib/systemd/system/cloud-init.service',
  '/usr/lib/systemd/system/cloud-init-main.service',
  '/etc/init.d/cloud-init-local',
])('where there is cloud-init, by %s, all is left to it', BOOTS, async (unit) => {
  await using guest = new BootedGuest({
    ...any,
    cmdline: `root=/dev/vda rw ${WORDS}`,
    disks: [
      disk(
        {
          '/sbin/init': '#!/bin/sh\nip -4 -o addr show scope global; echo "my own init is $$"; poweroff -f\n',
          '/usr/bin/cloud-init': '#!/bin/sh\n',
          [unit]: '',
        },
        ['sh', 'ip', 'poweroff'],
      ),
      ...dataDisks(),
    ],
    nics: MACS,
  });
  await guest.ends();
  expect(guest.console).toContain('flintlock-guest: configuration left to cloud-init\n');
  expect(guest.console).toContain('my own init is 1\n');
  expect(guest.console).not.toMatch(/inet |flintlock-guest: configured/);
});

test('what cannot be done is said, and the guest comes up', BOOTS, async () => {
  await using guest = new BootedGuest({
    kernel: small.kernel,
    cmdline: 'root=/dev/vda rw flintlock.nic=52:54:00:00:00:ff,gone flintlock.mount=vdb flintlock.nic=x',
    disks: [demoDisk('poweroff\n')],
    nics: [MACS[0]],
  });
  await guest.ends();
  expect(guest.console).toContain('flintlock-guest: cannot understand flintlock.mount=vdb\n');
  expect(guest.console).toContain('flintlock-guest: cannot understand flintlock.nic=x\n');
  expect(guest.console).toMatch(/cannot name the interface 52:54:00:00:00:ff gone: there is /);
  expect(guest.console).toContain('configured nics=gone:failed mounts=none\n');
  expect(guest.console).toMatch(/^flintlock-guest: up ip=10\.0\.2\.15 /m);
});

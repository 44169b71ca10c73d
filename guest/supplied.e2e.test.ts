/** What guests of images that others made are given beside the image, as a container's runtime would; see docs/guests.md. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BOOTS, type Boot, BootedGuest, makeDisk, unpackImage } from '../test/support/boot.ts';
import { isProof, leaveToProofs } from '../test/support/proofs.ts';

const scratch = mkdtempSync(join(tmpdir(), 'flintlock-supplied-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Which one is nobody's concern here: the small one starts sooner. */
let kernel: Pick<Boot, 'kernel' | 'initrd'>;
beforeAll(() => {
  unpackImage(isProof ? 'demo:kernel' : 'kernel:latest', join(scratch, 'kernel'));
  kernel = { kernel: join(scratch, 'kernel/boot/vmlinux'), initrd: join(scratch, 'kernel/initrd') };
});

const MAC = '52:54:00:00:00:0a';
const ID = '0123456789abcdef0123456789abcdef';
const SERVER = '192.0.2.99';
const WORDS = `systemd.machine_id=${ID} hostname=web-1 flintlock.nic=${MAC},lan0,10.0.2.15/24,10.0.2.2,${SERVER}`;

let made = 0;
/** A disk of busybox, GNU's getent, and files; `-> TO` is a link, `/` a directory. @param isBare - without the directories of a system */
function disk(files: Readonly<Record<string, string>>, isBare = false): { file: string } {
  const tree = join(scratch, `tree${++made}`);
  const place = (path: string): string => {
    const to = join(tree, path);
    mkdirSync(dirname(to), { recursive: true });
    return to;
  };
  copyFileSync('/bin/busybox', place('bin/busybox'));
  for (const name of ['sh', 'cat', 'ls', 'echo', 'poweroff', 'touch', 'grep', 'hostname', 'readlink', 'mount', 'sleep'])
    symlinkSync('/bin/busybox', join(tree, 'bin', name));
  const libraries = execFileSync('ldd', ['/usr/bin/getent'], { encoding: 'utf8' }).match(/\/\S+/g) ?? [];
  for (const file of ['/usr/bin/getent', ...libraries]) copyFileSync(file, place(file));
  for (const name of isBare ? [] : ['dev', 'proc', 'sys', 'run', 'tmp', 'etc'])
    mkdirSync(join(tree, name), { recursive: true });
  for (const [path, content] of Object.entries(files)) {
    if (content === '/') mkdirSync(place(`${path}/.`), { recursive: true });
    else if (content.startsWith('-> ')) symlinkSync(content.slice(3), place(path));
    else writeFileSync(place(path), content, { mode: 0o755 });
  }
  makeDisk(tree, `${tree}.img`, '48M');
  rmSync(tree, { recursive: true });
  return { file: `${tree}.img` };
}

const LOOK = `#!/bin/sh
export PATH=/bin:/usr/bin
echo "I am $0, $$, called $(hostname)"
echo "link: $(readlink /etc/resolv.conf)"
echo "resolver: $(cat /etc/resolv.conf | grep -v '^search' | tr '\\n' ' ')"
echo "localhost: $(getent ahostsv4 localhost | grep STREAM)"
echo "own name: $(getent hosts $(hostname))"
echo "machine-id: $(cat /etc/machine-id)"
echo ok >/dev/shm/x && echo "shm: $(cat /dev/shm/x)"
[ -e /dev/pts/ptmx ] && [ -e /dev/fd/0 ] && echo "devices are there"
touch /tmp/x && echo "tmp can be written"
touch /etc/x 2>/dev/null && echo "the root can be written"
echo "left of ours: $(mount | grep -c ' /run/flintlock') $(ls /run)"
poweroff -f
`.replaceAll('tr ', 'busybox tr ');
/** Docker's own: what it writes into a layer while it builds. */
const DOCKER = { '/etc/resolv.conf': '', '/etc/machine-id': 'ffffffffffffffffffffffffffffffff\n' };

/** Boots it, and returns what it says. */
async function said(
  files: Readonly<Record<string, string>>,
  {
    mode = 'rw',
    words = '',
    isBare = false,
  }: { readonly mode?: 'rw' | 'ro'; readonly words?: string; readonly isBare?: boolean } = {},
): Promise<string> {
  await using guest = new BootedGuest({
    ...kernel,
    cmdline: `root=/dev/vda ${mode} ${WORDS} ${words}`,
    disks: [{ ...disk(files, isBare), readOnly: mode === 'ro' }, ...(isBare ? [disk({})] : [])],
    nics: [MAC],
  });
  await guest.ends();
  return guest.console;
}

function expectSupplied(console: string, server = SERVER): void {
  expect(console).toContain(', called web-1\n');
  expect(console).toMatch(new RegExp(`^resolver: nameserver ${server} `, 'm'));
  expect(console).toMatch(/^localhost: 127\.0\.0\.1 /m);
  expect(console).toMatch(/^own name: \S+ +web-1$/m);
  expect(console).toContain(`machine-id: ${ID}\n`);
  expect(console).toContain('shm: ok\ndevices are there\ntmp can be written\n');
}

describe('an image with an init of its own, built the way Docker builds', BOOTS, () => {
  test.for(['rw', 'ro'] as const)('has names, resolver, machine-id and devices: %s', async (mode, context) => {
    leaveToProofs(context, mode === 'ro');
    const console = await said({ ...DOCKER, '/sbin/init': LOOK }, { mode });
    expect(console).toContain('flintlock-initrd: the init is /sbin/init\n');
    expect(console).toContain('I am /sbin/init, 1,');
    expectSupplied(console);
    expect(console.includes('the root can be written')).toBe(mode === 'rw');
    expect(console).toMatch(/^left of ours: 0 ?$/m);
  });

  test('has the name servers of a static address beside a DHCP client, which is not asked for them', async (context) => {
    leaveToProofs(context);
    const console = await said({ ...DOCKER, '/sbin/init': LOOK, '/usr/sbin/dhclient': '#!/bin/sh\n' });
    expectSupplied(console);
  });

  test('keeps what it sets', async (context) => {
    leaveToProofs(context); // guest/flintlock-init.host.test.ts
    const hosts = '127.0.0.1 localhost\n192.0.2.7 elsewhere own';
    const console = await said({
      '/sbin/init': `#!/bin/sh\necho "hosts: $(busybox tr '\\n' '|' </etc/hosts)"\n${LOOK.slice(10)}`,
      ...{ '/etc/resolv.conf': 'nameserver 192.0.2.53\n', '/etc/hosts': hosts, '/etc/hostname': 'own\n' },
    });
    expect(console).toContain(', called own\n');
    expect(console).toMatch(/^own name: 192\.0\.2\.7 +elsewhere own$/m);
    expect(console).toContain('\nresolver: nameserver 192.0.2.53 \n');
    expect(console).toMatch(/^hosts: 127\.0\.0\.1 localhost\|192\.0\.2\.7 elsewhere own$/m);
    expect(console).not.toMatch(/resolver: .*192\.0\.2\.99/);
    expect(console).toContain('configured nics=lan0:10.0.2.15/24 mounts=none\n');
  });

  test.for([
    ['rw', 'link: ../run/systemd/resolve/stub-resolv.conf', 'resolver: '],
    ['ro', 'link: ', 'resolver: nameserver 127.0.0.53 options edns0 trust-ad '],
  ] as const)('whose systemd-resolved will run is led there: %s', async ([mode, link, resolver], context) => {
    leaveToProofs(context, mode === 'rw');
    const console = await said(
      {
        ...DOCKER,
        '/sbin/init': LOOK,
        '/usr/lib/systemd/systemd-resolved': '#!/bin/sh\n',
        '/etc/systemd/system/sysinit.target.wants/systemd-resolved.service':
          '-> /lib/systemd/system/systemd-resolved.service',
      },
      { mode },
    );
    expect(console).toMatch(new RegExp(`^${link.replaceAll('.', '\\.')}$`, 'm'));
    expect(console).toContain(`\n${resolver}`);
  });
});

describe('an image without an init', BOOTS, () => {
  test.for([
    ['nothing', 'ro', {}],
    ['a link to where nobody writes', 'rw', { '/etc/resolv.conf': '-> ../run/systemd/resolve/stub-resolv.conf' }],
    ['a link to a directory of nobody', 'ro', { '/etc/resolv.conf': '-> /no/where/resolv.conf' }],
    ['a link to itself', 'rw', { '/etc/resolv.conf': '-> resolv.conf' }],
  ] as const)('has names, resolver and machine-id where it brings %s: %s', async ([what, mode, files], context) => {
    leaveToProofs(context, what.startsWith('a link'));
    const console = await said({ ...files, '/look': LOOK }, { mode, words: '-- /bin/sh /look' });
    expect(console).toContain('flintlock-initrd: the init is /sbin/flintlock-init of the initrd\n');
    expectSupplied(console);
  });

  test('keeps the name servers that it names', async (context) => {
    leaveToProofs(context); // guest/flintlock-init.host.test.ts
    const console = await said(
      { '/etc/resolv.conf': 'nameserver 192.0.2.53\n', '/look': LOOK },
      { words: '-- /bin/sh /look' },
    );
    expectSupplied(console, '192.0.2.53');
    expect(console).not.toMatch(/resolver: .*192\.0\.2\.99/);
  });
});

// A disk that cannot be written, of an image that is one program: it has no place for anything.
test.for(['no init', 'an init'] as const)(
  'an image of %s and no directories has them',
  BOOTS,
  async (what, context) => {
    leaveToProofs(context, what === 'an init');
    const isInit = what === 'an init';
    const look = LOOK.replace('poweroff', 'ls -d /srv/a\\ b/bin\npoweroff');
    const mount = 'flintlock.mount=vdb:/srv/a%20b:ro';
    const console = await said(isInit ? { '/sbin/init': look } : { '/look': look }, {
      ...{ mode: 'ro', isBare: true, words: isInit ? mount : `${mount} -- /bin/sh /look` },
    });
    expectSupplied(console);
    expect(console).not.toContain('the root can be written');
    expect(console).toContain('mounts=/srv/a%20b:ro\n');
    expect(console).toContain('\n/srv/a b/bin\n');
  },
);

describe('the init', BOOTS, () => {
  test('is the next one that can be run, and the console says why', async () => {
    const console = await said({
      ...{ '/sbin': '-> /usr/sbin', '/usr/sbin/init': '-> /lib/systemd/systemd' },
      ...{ '/etc/init': '/', '/bin/init': '#!/usr/bin/perl\n', '/init': LOOK },
    });
    expect(console).toContain(
      'flintlock-initrd: /sbin/init cannot be the init: it leads to /lib/systemd, which is not there\n',
    );
    expect(console).toContain('flintlock-initrd: /etc/init cannot be the init: it is a directory\n');
    expect(console).toContain(
      '/bin/init cannot be the init: it is a script for /usr/bin/perl, and that cannot be run: ',
    );
    expect(console).toMatch(/^flintlock-initrd: the init is \/init, because \/sbin\/init: it leads to /m);
    expect(console).toContain('I am /init, 1,');
    expectSupplied(console);
  });

  test('lies behind absolute links, or is one that was asked for', async (context) => {
    leaveToProofs(context);
    const files = { '/sbin': '-> /usr/sbin', '/usr/sbin/init': '-> /opt/it', '/opt/it': LOOK, '/init': LOOK };
    expect(await said(files)).toContain('I am /sbin/init, 1,');
    const other = await said(files, { words: 'init=/opt/not' });
    expect(other).toContain('flintlock-initrd: /opt/not cannot be the init: it is not there\n');
    expect(other).toContain('I am /sbin/init, 1,');
  });
});

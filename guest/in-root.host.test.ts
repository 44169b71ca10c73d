/** What guest/initrd/init takes for a program that can be the init: looked at here by the same shell, without a guest. */
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';

const LIBRARY = join(import.meta.dirname, 'initrd/in-root.sh');
const scratch = mkdtempSync(join(tmpdir(), 'flintlock-in-root-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

let made = 0;
/** A root of links (`-> TO`), directories (`/`), and programs of that content. */
function rootOf(files: Readonly<Record<string, string | Uint8Array>>): string {
  const root = join(scratch, `root${++made}`);
  mkdirSync(root);
  for (const [path, content] of Object.entries(files)) {
    const at = join(root, path);
    mkdirSync(dirname(at), { recursive: true });
    if (content === '/') mkdirSync(at, { recursive: true });
    else if (typeof content === 'string' && content.startsWith('-> ')) symlinkSync(content.slice(3), at);
    else writeFileSync(at, content, { mode: 0o755 });
  }
  return root;
}

/** @returns the program's path without links, or why it cannot be run */
function judged(root: string, path: string): string {
  const script = '. "$0"; can_run "$1" "$2" && echo "$runs" || echo "no: $why"';
  return execFileSync('busybox', ['sh', '-c', script, LIBRARY, root, path], {
    encoding: 'utf8',
    timeout: 60_000,
  }).trimEnd();
}

/** The headers of a program. */
function elf({ bits = 64, machine = 62, loader = '', type = 2 } = {}): Buffer {
  const is64 = bits === 64;
  const header = Buffer.alloc(is64 ? 64 : 52);
  header.write('\x7fELF', 0, 'latin1');
  header.set([is64 ? 2 : 1, 1, 1], 4);
  header.writeUInt16LE(type, 16);
  header.writeUInt16LE(machine, 18);
  const size = is64 ? 56 : 32;
  const name = Buffer.from(`${loader}\0`);
  const at = header.length + 2 * size;
  // The second of two: PT_LOAD, PT_INTERP.
  const table = Buffer.alloc(2 * size);
  table.writeUInt32LE(1, 0);
  table.writeUInt32LE(loader === '' ? 1 : 3, size);
  if (is64) {
    header.writeBigUInt64LE(BigInt(header.length), 32);
    header.writeUInt16LE(size, 54);
    header.writeUInt16LE(2, 56);
    table.writeBigUInt64LE(BigInt(at), size + 8);
    table.writeBigUInt64LE(BigInt(name.length), size + 32);
  } else {
    header.writeUInt32LE(header.length, 28);
    header.writeUInt16LE(size, 42);
    header.writeUInt16LE(2, 44);
    table.writeUInt32LE(at, size + 4);
    table.writeUInt32LE(name.length, size + 16);
  }
  return Buffer.concat([header, table, name]);
}

describe('a program that can be run is found inside the root', () => {
  test.each([
    ['as a file', { 'sbin/init': elf() }, '/sbin/init'],
    ['by a link', { 'sbin/init': '-> ../usr/lib/x', 'usr/lib/x': elf() }, '/usr/lib/x'],
    ['by an absolute link', { 'sbin/init': '-> /usr/lib/x', 'usr/lib/x': elf() }, '/usr/lib/x'],
    ['in a directory that is an absolute link', { sbin: '-> /usr/sbin', 'usr/sbin/init': elf() }, '/usr/sbin/init'],
    ['by a link that climbs above the root', { 'sbin/init': '-> ../../../../x/y', 'x/y': elf() }, '/x/y'],
    [
      'by many links',
      { 'sbin/init': '-> a', 'sbin/a': '-> b', 'sbin/b': '-> /c', c: '-> ./d/.', 'd/x': '' },
      undefined,
    ],
    ['as a script', { 'sbin/init': '#! /bin/sh -e\n', 'bin/sh': '-> busybox', 'bin/busybox': elf() }, '/sbin/init'],
    ['as a script with a script as interpreter', { 'sbin/init': '#!/b', b: '#!\t/c', c: elf() }, '/sbin/init'],
    [
      'with its loader',
      { 'sbin/init': elf({ loader: '/lib64/ld.so' }), lib64: '-> /lib', 'lib/ld.so': elf() },
      '/sbin/init',
    ],
    [
      'with a loader that names one for itself',
      { 'sbin/init': elf({ loader: '/lib/ld.so' }), 'lib/ld.so': elf({ loader: '/lib/ld.so' }) },
      '/sbin/init',
    ],
  ] as const)('%s', (_, files, found) => {
    const said = judged(rootOf(files), '/sbin/init');
    if (found === undefined) expect(said).toBe('no: it is a directory');
    else expect(said).toBe(found);
  });

  test("this machine's own programs", () => {
    expect(judged('/', '/bin/sh')).toMatch(/^\/usr\/bin\/|^\/bin\//);
    expect(judged('/', process.execPath)).toBe(process.execPath);
  });
});

describe('why one cannot be run', () => {
  test.each([
    ['nothing', {}, 'it is not there'],
    ['a link to nothing', { 'sbin/init': '-> /lib/systemd/systemd' }, 'it leads to /lib, which is not there'],
    ['nothing in a directory that is a link', { sbin: '-> /usr/sbin', 'usr/sbin': '/' }, 'it is not there'],
    ['a link to itself', { 'sbin/init': '-> init' }, 'it leads to /sbin/init, a link that goes round in circles'],
    ['a directory', { 'sbin/init': '/' }, 'it is a directory'],
    ['an empty file', { 'sbin/init': '' }, 'it is empty'],
    ['a text', { 'sbin/init': 'exec sh\n' }, 'it is neither a program nor a script'],
    ['a script without an interpreter', { 'sbin/init': '#!\n' }, 'it is a script that names no interpreter'],
    [
      'a script whose interpreter is not there',
      { 'sbin/init': '#!/usr/bin/bash\n' },
      'it is a script for /usr/bin/bash, and that cannot be run: it is not there',
    ],
    [
      'a script from another system',
      { 'sbin/init': '#!/bin/sh\r\n', 'bin/sh': elf() },
      'it is a script for /bin/sh, followed by a carriage return, and that cannot be run: it is not there',
    ],
    ['another CPU', { 'sbin/init': elf({ machine: 183 }) }, 'it is a program for another CPU (AArch64)'],
    [
      'one that nobody knows',
      { 'sbin/init': elf({ machine: 0x1234 }) },
      'it is a program for another CPU (machine 4660)',
    ],
    [
      'a program whose loader is not there',
      { 'sbin/init': elf({ loader: '/lib/ld-musl-x86_64.so.1' }) },
      'its loader /lib/ld-musl-x86_64.so.1 is not there',
    ],
    [
      'a program whose loader is a directory',
      { 'sbin/init': elf({ loader: '/lib/ld.so' }), 'lib/ld.so': '/' },
      'its loader /lib/ld.so is a directory',
    ],
    [
      'a program whose loader is for another CPU',
      { 'sbin/init': elf({ loader: '/lib/ld.so' }), 'lib/ld.so': elf({ machine: 183 }) },
      'its loader /lib/ld.so is a program for another CPU (AArch64)',
    ],
    [
      'a program whose loader is a script',
      { 'sbin/init': elf({ loader: '/lib/ld.so' }), 'lib/ld.so': '#!/lib/ld.so\n' },
      'its loader /lib/ld.so is a script',
    ],
    ['a program that is cut off', { 'sbin/init': elf().subarray(0, 30) }, 'it is a part of a program'],
    ['what a compiler leaves for a linker', { 'sbin/init': elf({ type: 1 }) }, 'it is a part of a program'],
  ] as const)('%s', (_, files, why) => {
    const said = judged(rootOf(files), '/sbin/init');
    expect(said).toBe(`no: ${why}`);
  });

  test('a program that nobody may execute', () => {
    const root = rootOf({ 'sbin/init': elf() });
    chmodSync(join(root, 'sbin/init'), 0o644);
    expect(judged(root, '/sbin/init')).toBe('no: it is not executable');
  });

  test('a pipe, which is not opened', () => {
    const root = rootOf({});
    execFileSync('mkfifo', [join(root, 'init')]);
    expect(judged(root, '/init')).toBe('no: it is no regular file');
  });

  test('scripts of scripts without end', () => {
    expect(judged(rootOf({ init: '#!/init\n' }), '/init')).toContain('and so on without end');
  });

  test('a real program whose loader was left behind', () => {
    const root = rootOf({});
    copyFileSync('/bin/cat', join(root, 'init'));
    expect(judged(root, '/init')).toMatch(/^no: its loader \/lib64\/ld-linux-x86-64\.so\.2 is not there$/);
  });
});

describe('the init of a system that is laid out so', () => {
  const first = (files: Readonly<Record<string, string | Uint8Array>>): string => {
    const script = '. "$0"; for i in $INITS; do ! can_run "$1" $i || { echo "$i is $runs"; exit; }; done';
    return execFileSync('busybox', ['sh', '-c', script, LIBRARY, rootOf(files)], { encoding: 'utf8' }).trimEnd();
  };
  const SYSTEMD = { 'usr/lib/systemd/systemd': elf() };
  test.each([
    [
      'Fedora, whose usr/sbin is usr/bin',
      {
        ...SYSTEMD,
        lib: '-> usr/lib',
        sbin: '-> usr/sbin',
        'usr/sbin': '-> bin',
        'usr/bin/init': '-> ../lib/systemd/systemd',
      },
      '/sbin/init is /usr/lib/systemd/systemd',
    ],
    ['an image with usr alone', SYSTEMD, '/usr/lib/systemd/systemd is /usr/lib/systemd/systemd'],
    ['usr alone, and another init', { 'usr/sbin/init': elf() }, '/usr/sbin/init is /usr/sbin/init'],
    [
      'NixOS, whose boot loader names it',
      {
        'nix/var/nix/profiles/system': '-> system-1-link',
        'nix/var/nix/profiles/system-1-link': '-> /nix/store/0a1b',
        'nix/store/0a1b/init': '#! /nix/store/2c3d/bin/sh\n',
        'nix/store/2c3d/bin/sh': elf(),
      },
      '/nix/var/nix/profiles/system/init is /nix/store/0a1b/init',
    ],
    ['OpenRC', { 'sbin/init': '-> openrc-init', 'sbin/openrc-init': elf() }, '/sbin/init is /sbin/openrc-init'],
    ['nothing but a program', { init: elf() }, '/init is /init'],
  ])('%s', (_, files, found) => expect(first(files)).toBe(found));
});

describe('busybox as the init of a container image', () => {
  const BUSYBOX = Buffer.concat([elf(), Buffer.from('BusyBox v1.36.1 (multi-call binary)\0')]);
  const OPENRC = '::sysinit:/sbin/openrc sysinit\n';
  /** @returns why it starts nothing, or '' */
  const hollow = (files: Readonly<Record<string, string | Uint8Array>>): string => {
    const script = '. "$0"; can_run "$1" /sbin/init && is_hollow "$1" && echo "$why"';
    const root = rootOf({ 'bin/busybox': BUSYBOX, ...files });
    return execFileSync('busybox', ['sh', '-c', `{ ${script}; } || true`, LIBRARY, root], {
      encoding: 'utf8',
    }).trimEnd();
  };
  const LINK = { 'sbin/init': '-> /bin/busybox' };

  test.each([
    ['without the OpenRC that its inittab starts', { ...LINK, 'etc/inittab': OPENRC }, 'whose OpenRC is not there'],
    ['without anything to start', LINK, 'neither /etc/inittab nor /etc/init.d/rcS'],
    ['as another name of the file', { 'sbin/init': BUSYBOX }, 'neither /etc/inittab nor /etc/init.d/rcS'],
  ])('%s starts nothing', (_, files, why) => expect(hollow(files)).toContain(why));

  test.each([
    ['with OpenRC', { ...LINK, 'etc/inittab': OPENRC, 'sbin/openrc': elf() }],
    // What an absolute link leads to is of the root, too.
    [
      'with OpenRC behind a link',
      { sbin: '-> /usr/sbin', 'usr/sbin/init': '-> /bin/busybox', 'usr/sbin/openrc': elf(), 'etc/inittab': OPENRC },
    ],
    ['with an inittab of its own', { ...LINK, 'etc/inittab': '::sysinit:/etc/rc\n' }],
    ['with the script that it starts without one', { ...LINK, 'etc/init.d/rcS': '#!/bin/sh\n' }],
    ['that is another program', { 'sbin/init': elf() }],
  ])('%s is an init', (_, files) => expect(hollow(files)).toBe(''));
});

describe('directories that a root lacks', () => {
  /** @returns those that are made to lie below it */
  const made = (files: Readonly<Record<string, string>>, ...paths: readonly string[]): readonly string[] => {
    const below = rootOf({});
    const script = '. "$0"; make_lacking "$@" || [ -z "$(ls "$2")" ]';
    execFileSync('busybox', ['sh', '-c', script, LIBRARY, rootOf(files), below, ...paths], { timeout: 60_000 });
    return execFileSync('find', ['.', '-type', 'd', '-empty', '-printf', '%P\n'], { cwd: below, encoding: 'utf8' })
      .split('\n')
      .filter((path) => path !== '')
      .toSorted();
  };

  test.each<[string, Readonly<Record<string, string>>, readonly string[]]>([
    ['all of them', { app: 'x' }, ['dev', 'run', 'srv/a b']],
    ['none', { dev: '/', run: '-> var/run', 'var/run': '/', 'srv/a b': '/' }, []],
    ['a part', { dev: '/', srv: '/' }, ['run', 'srv/a b']],
    ['what links lead to', { dev: '/', run: '-> /var/run', srv: '-> data/./here' }, ['data/here/a b', 'var/run']],
    [
      'what a link leads to from a link',
      { dev: '/', run: '-> a/b/c', 'a/b': '-> /x/y', srv: '/' },
      ['srv/a b', 'x/y/c'],
    ],
  ])('%s', (_, files, expected) => {
    expect(made(files, '/dev', '/run', '/srv/a b')).toEqual(expected);
  });

  test('a link does not lead out of the root, nor round in circles', () => {
    expect(made({ dev: '-> /no/../../../../tmp/x', run: '-> /var/run', 'var/run': '-> /run' }, '/dev', '/run')).toEqual(
      [],
    );
  });
});

import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { agentFiles } from '../../../test/support/agent-files.ts';
import { type CpIn, startCp } from '../../../test/support/cp-in.ts';
import { listTree } from '../../../test/support/list-tree.ts';

let at: (path: string) => string;
let cp: CpIn['cp'];

beforeEach(async () => {
  const started = await startCp(await agentFiles());
  at = (path) => `${started.directory}/${path}`;
  cp = started.cp;
});

const sh = (script: string, cwd: string): string => execFileSync('sh', ['-ec', script], { cwd, encoding: 'utf8' });
const DONE = { exit: 0, stdout: '', stderr: '' };

/** Some of everything that a directory can hold. */
function makeTree(path: string): void {
  mkdirSync(path);
  sh(
    `umask 022
     mkdir -p a/b/c empty 'with blank'
     echo one > a/one; ln a/one a/b/again; ln -s ../one a/b/link; ln -s /nowhere dangling
     printf 'x' > "with blank/$(printf 'line\\nend')"; printf 'y' > "$(printf 'bytes\\377\\376')"
     : > $(printf '%0255d' 7); head -c 300000 /dev/urandom > a/big
     truncate -s 200M sparse; printf end >> sparse
     mkfifo -m 0640 pipe; chmod 2750 empty; chmod 0400 a/one; chown 1234:4321 a/big; chmod 4755 a/big
     find . -exec touch -h -d @1600000001.5 {} +`,
    path,
  );
}

test('a tree goes into a guest and comes back as it was', async () => {
  makeTree(at('tree'));
  expect(await cp(['-qr', at('tree'), `web:${at('there')}`])).toEqual(expect.objectContaining(DONE));
  expect(listTree(at('there'))).toEqual(listTree(at('tree')));
  expect(Number(sh('du -k there/sparse | cut -f1', at('')))).toBeLessThan(1_000);
  expect(await cp(['-q', '--trusted', `web:${at('there')}`, at('back')])).toMatchObject(DONE);
  expect(listTree(at('back'))).toEqual(listTree(at('tree')));
  expect(Number(sh('du -k back/sparse | cut -f1', at('')))).toBeLessThan(1_000);
});

test('where a copy goes follows from what is there, and a slash changes nothing', async () => {
  mkdirSync(at('src/sub'), { recursive: true });
  writeFileSync(at('src/file'), 'content');
  mkdirSync(at('dir'));
  symlinkSync('dir', at('to-dir'));
  writeFileSync(at('old'), 'old');
  symlinkSync('old', at('to-old'));
  for (const [source, destination, made] of [
    ['src/file', 'dir', 'dir/file'],
    ['src/file', 'dir/', 'dir/file'],
    ['src/file', 'to-dir', 'dir/file'],
    ['src/file', 'new', 'new'],
    ['src/file', 'to-old', 'old'],
    ['src', 'dir', 'dir/src/file'],
    ['src/', 'dir', 'dir/src/file'],
    ['src/.', 'dir', 'dir/file'],
    ['src', 'fresh', 'fresh/file'],
    ['src/', 'fresh2/', 'fresh2/file'],
  ] as const)
    for (const words of [
      [at(source), `web:${at(destination)}`],
      [`web:${at(source)}`, at(destination)],
    ]) {
      expect([words, await cp(words)]).toEqual([words, expect.objectContaining(DONE)]);
      expect([words, readFileSync(at(made), 'utf8')]).toEqual([words, 'content']);
      if (made === 'old') writeFileSync(at('old'), 'old');
      else sh('rm -rf dir/* new fresh fresh2', at(''));
    }
  expect(readlinkSync(at('to-old'))).toBe('old');
});

test('what cannot be is told, with a status', async () => {
  mkdirSync(at('dir/sub'), { recursive: true });
  writeFileSync(at('file'), '');
  symlinkSync('nowhere', at('dangling'));
  for (const [words, exit, why] of [
    [[`web:${at('none')}`, at('x')], 3, 'is not there'],
    [[at('none'), `web:${at('x')}`], 3, 'is not there'],
    [[at('file'), `web:${at('none/x')}`], 3, 'The directory'],
    [[`web:${at('file')}/`, at('x')], 1, /no directory|Not a directory/],
    [[at('file'), `web:${at('x')}/`], 1, /no directory|Not a directory/],
    [[at('dir'), `web:${at('file')}`], 1, /no directory|Not a directory/],
    [[at('file'), at('file'), `web:${at('file')}`], 1, 'several are to be copied'],
    [[at('file'), `web:${at('dangling')}`], 1, 'leads nowhere'],
    [[`web:${at('file')}`, at('dangling')], 1, 'leads nowhere'],
    [[at('file'), at('x')], 2, 'Neither side is a guest'],
    [[at('file')], 2, 'Say what to copy and where to'],
    [[at('file'), 'nobody:/x'], 3, 'not found'],
  ] as const) {
    const result = await cp(words);
    expect([words, result.exit, result.stderr]).toEqual([words, exit, expect.stringMatching(why)]);
  }
});

test('files of /proc, a file that grows, and standard streams', async () => {
  expect(await cp(['web:/proc/version', at('')])).toMatchObject(DONE);
  expect(readFileSync(at('version'))).toEqual(readFileSync('/proc/version'));
  writeFileSync(at('log'), Buffer.alloc(30 << 20, 'x'));
  const growing = setInterval(() => appendFileSync(at('log'), 'more\n'), 1);
  onTestFinished(() => clearInterval(growing));
  const grown = await cp([`web:${at('log')}`, at('copy')]);
  clearInterval(growing);
  expect(grown).toMatchObject({ exit: 0, stderr: expect.stringContaining('was changed while it was copied') });
  expect(statSync(at('copy')).size).toBeGreaterThanOrEqual(30 << 20);
  expect(await cp(['-', `web:${at('typed')}`], { stdin: 'typed' })).toMatchObject(DONE);
  expect(await cp([`web:${at('typed')}`, '-'])).toMatchObject({ exit: 0, stdout: 'typed' });
});

test('what one file is refused does not keep the others from being copied', async () => {
  mkdirSync(at('tree/z'), { recursive: true });
  for (const name of ['a', 'b', 'z/c']) writeFileSync(at(`tree/${name}`), name);
  execFileSync('mknod', [at('tree/null'), 'c', '1', '3']);
  mkdirSync(at('to/tree/a'), { recursive: true });
  const { exit, stderr } = await cp([`web:${at('tree')}`, at('to')]);
  expect(exit).toBe(1);
  expect(stderr).toMatch(/a: there is a directory of that name/);
  expect(stderr).toMatch(/null is a device, and left out/);
  expect([readFileSync(at('to/tree/b'), 'utf8'), readFileSync(at('to/tree/z/c'), 'utf8')]).toEqual(['b', 'z/c']);
});

test('from a guest come no set-user-ID bits; owners can be given', async () => {
  mkdirSync(at('tree'));
  writeFileSync(at('tree/su'), '#!/bin/sh\n');
  sh('chmod 6755 tree/su; chmod 1777 tree', at(''));
  const { stderr } = await cp(['--owner', '5:6', `web:${at('tree')}`, at('out')]);
  expect(stderr).toContain('1 file comes without set-user-ID');
  expect(statSync(at('out/su'))).toMatchObject({ uid: 5, gid: 6 });
  expect([statSync(at('out/su')).mode & 0o7777, statSync(at('out')).mode & 0o7777]).toEqual([0o755, 0o1777]);
  // A directory that is there keeps what it has, on either side.
  sh('mkdir -m 0710 into into/tree; chmod 0750 into/tree', at(''));
  for (const words of [
    [`web:${at('tree')}`, at('into')],
    [at('tree'), `web:${at('into')}`],
  ]) {
    await cp(['--owner', '5', ...words]);
    expect([statSync(at('into/tree')).mode & 0o7777, statSync(at('into/tree')).uid]).toEqual([0o750, 0]);
    sh('test -e into/tree/su && rm into/tree/su', at(''));
  }
});

test('Ctrl-C leaves nothing of the file that was under way', async () => {
  writeFileSync(at('big'), Buffer.alloc(64 << 20, 'x'));
  mkdirSync(at('to'));
  for (const words of [
    [at('big'), `web:${at('to')}`],
    [`web:${at('big')}`, at('to')],
  ]) {
    const stop = new AbortController();
    const look = setInterval(() => readdirSync(at('to')).length > 0 && stop.abort(new Error('interrupted')), 1);
    onTestFinished(() => clearInterval(look));
    const result = await cp(words, { interrupt: stop.signal });
    clearInterval(look);
    expect(result).toMatchObject({ exit: 1, stderr: 'flintlock: interrupted\n' });
    await expect.poll(() => readdirSync(at('to'))).toEqual([]);
  }
});

test('a full disk on either side ends it, and leaves nothing', async () => {
  mkdirSync(at('small'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', at('small')]);
  onTestFinished(() => void execFileSync('umount', ['-l', at('small')]));
  writeFileSync(at('big'), Buffer.alloc(8 << 20, 'x'));
  for (const words of [
    [at('big'), `web:${at('small')}`],
    [`web:${at('big')}`, at('small')],
  ]) {
    expect(await cp(words)).toMatchObject({
      exit: 1,
      stderr: expect.stringMatching(/No space left on device|the disk is full/),
    });
    await expect.poll(() => readdirSync(at('small'))).toEqual([]);
  }
});

test('progress on a terminal, and none with -q', async () => {
  writeFileSync(at('big'), Buffer.alloc(60 << 20, 'x'));
  const shown = await cp([at('big'), `web:${at('copy')}`], { terminal: true });
  expect(shown.stderr).toMatch(/\d MiB of 60\.0 MiB, [\d.]+ s: [\s\S]*1 file, 60\.0 MiB, in/);
  expect(await cp(['-q', at('big'), `web:${at('copy')}`], { terminal: true })).toMatchObject({ exit: 0, stderr: '' });
  expect(existsSync(at('copy')) && lstatSync(at('copy')).isFile()).toBe(true);
});

/** Of a tree: each file with its extended attributes, as getfattr tells them. */
const extendedOf = (path: string): string =>
  sh("find . -print0 | sort -z | xargs -0 getfattr -h -d -e hex -m '^(user|security.capability)'", path);

test('extended attributes of users come along both ways, and capabilities where they are trusted', async () => {
  mkdirSync(at('tree/sub'), { recursive: true });
  for (const name of ['tree/plain', 'tree/program', 'tree/sub/inner']) writeFileSync(at(name), name);
  writeFileSync(Buffer.concat([Buffer.from(at('tree/odd-')), Buffer.from([0xff, 0x0a])]), 'odd');
  sh(
    `setfattr -n user.origin -v 0x00ff0a program; setfattr -n user.none program; setfattr -n 'user.a=b' -v c sub
     setfattr -n user.large -v "$(head -c 4000 /dev/zero | tr '\\0' x)" sub/inner; setfattr -n user.odd -v 1 odd*
     setcap cap_net_bind_service=ep program`,
    at('tree'),
  );
  expect(await cp(['-q', at('tree'), `web:${at('there')}`])).toEqual(expect.objectContaining(DONE));
  expect(extendedOf(at('there'))).toBe(extendedOf(at('tree')));
  expect(sh('getcap program', at('there'))).toContain('cap_net_bind_service=ep');
  expect(await cp(['-q', '--trusted', `web:${at('there')}`, at('back')])).toMatchObject(DONE);
  expect(extendedOf(at('back'))).toBe(extendedOf(at('tree')));
  // One file, and through a link that is named.
  symlinkSync('program', at('there/link'));
  expect(await cp(['-q', '--trusted', `web:${at('there/link')}`, at('one')])).toMatchObject(DONE);
  expect(sh('getfattr --only-values -n user.origin one | od -An -tx1', at('')).trim()).toBe('00 ff 0a');
  expect(await cp(['-q', `web:${at('there')}`, at('bare')])).toMatchObject({
    exit: 0,
    stderr:
      'flintlock: 1 file comes without set-user-ID and set-group-ID bits, or capabilities; --trusted keeps them\n',
  });
  expect(sh('getcap program', at('bare'))).toBe('');
});

test('where one side takes no extended attributes the files are whole, and it is told once', async () => {
  mkdirSync(at('tree'));
  for (const name of ['a', 'b']) writeFileSync(at(`tree/${name}`), name);
  sh('setfattr -n user.x -v 1 a; setfattr -n user.x -v 1 b', at('tree'));
  // A file system without them.
  mkdirSync(at('mount'));
  sh('mount -t ramfs none mount', at(''));
  onTestFinished(() => void sh('umount mount', at('')));
  const told = {
    exit: 0,
    stderr: 'flintlock: 2 files come without extended attributes that the other side does not take\n',
  };
  expect(await cp(['-q', at('tree'), `web:${at('mount/there')}`])).toMatchObject(told);
  expect(readFileSync(at('mount/there/b'), 'utf8')).toBe('b');
  expect(await cp(['-q', `web:${at('tree')}`, at('mount/here')])).toMatchObject(told);
  expect(readFileSync(at('mount/here/b'), 'utf8')).toBe('b');
});

test('without getfattr here what it is wanted for is told once, and nobody who asked for quiet', async () => {
  mkdirSync(at('tree/sub'), { recursive: true });
  for (const name of ['a', 'sub/b']) writeFileSync(at(`tree/${name}`), name);
  mkdirSync(at('programs'));
  symlinkSync(sh('command -v setpriv', at('')).trim(), at('programs/setpriv'));
  const { PATH = '' } = process.env;
  onTestFinished(() => {
    process.env.PATH = PATH;
  });
  process.env.PATH = at('programs');
  const { exit, stderr } = await cp([at('tree'), `web:${at('there')}`]);
  expect({ exit, told: stderr.match(/apt-get install attr/g)?.length }).toEqual({ exit: 0, told: 1 });
  expect(await cp(['-q', at('tree'), `web:${at('again')}`])).toEqual(expect.objectContaining(DONE));
});

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { agentProgram } from './agent.ts';

let agent = '';
beforeAll(() => {
  agent = agentProgram();
});

/** A root as an image of busybox alone has it, with whatever users it is given. */
function rootWith(passwd?: string, group?: string): string {
  const root = mkdtempSync('/tmp/flintlock-run-');
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const name of ['bin', 'tmp', 'etc', 'dev']) mkdirSync(join(root, name), { mode: 0o755 });
  execFileSync('chmod', ['755', root]);
  execFileSync('cp', ['/bin/busybox', join(root, 'bin/busybox')]);
  execFileSync('chroot', [root, '/bin/busybox', '--install', '-s', '/bin']);
  execFileSync('cp', [agent, join(root, 'agent')]);
  execFileSync('mknod', ['-m', '666', join(root, 'dev/null'), 'c', '1', '3']);
  if (passwd !== undefined) writeFileSync(join(root, 'etc/passwd'), passwd);
  if (group !== undefined) writeFileSync(join(root, 'etc/group'), group);
  return root;
}

interface Exec {
  readonly cmd: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly user?: string;
}

function run(root: string, exec: Exec | string) {
  const text = typeof exec === 'string' ? exec : JSON.stringify({ version: 1, op: 'exec', exec });
  writeFileSync(join(root, 'run'), text, { mode: 0o600 });
  const { status, signal, stdout, stderr } = spawnSync('chroot', [root, '/agent', '--run', '/run'], {
    ...{ encoding: 'utf8', timeout: 30_000, maxBuffer: 16 << 20 },
    env: { PATH: process.env.PATH, SECRET: 'of the caller', TERM: 'vt102', HOME: '/nowhere' },
  });
  return { status: status ?? signal, out: stdout, err: stderr };
}

test('it becomes the program, with its arguments, variables, directory and user', () => {
  const root = rootWith('app:x:1001:1002::/home/app:/bin/ash\n', 'app:x:1002:\nextra:x:1003:other,app\n');
  const args = ['-c', 'id -u; id -g; id -G; pwd; echo "$@"; env | sort; umask', 'sh', 'a b', '"', 'ö'];
  const { status, out, err } = run(root, {
    ...{ cmd: 'sh', args, cwd: '/made/for/it', user: 'app', env: { A: 'x\ny', PATH: '/bin' } },
  });
  expect({ status, err }).toEqual({ status: 0, err: '' });
  expect(out.split('\n')).toEqual([
    ...['1001', '1002', '1002 1003', '/made/for/it', 'a b " ö'],
    ...[
      'A=x',
      'HOME=/home/app',
      'LOGNAME=app',
      'PATH=/bin',
      'PWD=/made/for/it',
      'SHELL=/bin/ash',
      'SHLVL=1',
      'TERM=vt102',
    ],
    ...['USER=app', 'y', '0022', ''],
  ]);
});

test.each([
  ['root', '0 0'],
  ['0', '0 0'],
  ['1000', '1000 0'],
  ['1000:50', '1000 50'],
])('an image without users: %s', (user, ids) => {
  const root = rootWith();
  expect(run(root, { cmd: 'sh', args: ['-c', 'echo $(id -u) $(id -g)'], user })).toMatchObject({
    status: 0,
    out: `${ids}\n`,
  });
});

test('a directory that only root gets to is there all the same, as with a container', () => {
  const root = rootWith();
  mkdirSync(join(root, 'root'), { mode: 0o700 });
  const begun = { cmd: '/bin/sh', args: ['-c', 'id -u; readlink /proc/self/cwd || pwd'], user: '1000' };
  expect(run(root, { ...begun, cwd: '/root/app' })).toMatchObject({ status: 0, out: '1000\n/root/app\n', err: '' });
  expect(run(root, { ...begun, cwd: '/root' })).toMatchObject({ status: 0, out: '1000\n/root\n', err: '' });
});

test('an exit status, a signal, and what cannot be started', () => {
  const root = rootWith('app:x:1001:1001::/:/bin/sh\n');
  writeFileSync(join(root, 'bin/plain'), 'text', { mode: 0o644 });
  mkdirSync(join(root, 'file-in-the-way'));
  writeFileSync(join(root, 'file-in-the-way/file'), '');
  expect(run(root, { cmd: 'sh', args: ['-c', 'exit 3'] }).status).toBe(3);
  expect(run(root, { cmd: 'sh', args: ['-c', 'kill -9 $$'] }).status).toBe('SIGKILL');
  expect(run(root, { cmd: 'no-such' })).toMatchObject({ status: 127, err: 'no-such: command not found\n' });
  expect(run(root, { cmd: '/no/such' })).toMatchObject({ status: 127 });
  expect(run(root, { cmd: '/bin/plain' })).toMatchObject({
    status: 126,
    err: expect.stringContaining('Permission denied'),
  });
  expect(run(root, { cmd: '/bin' })).toMatchObject({ status: 126 });
  expect(run(root, { cmd: 'id', user: 'nobody-knows' })).toMatchObject({
    ...{ status: 126, err: 'no such user, or group: nobody-knows\n' },
  });
  expect(run(root, { cmd: 'id', user: 'app:nobodies' })).toMatchObject({ status: 126 });
  expect(run(root, { cmd: 'id', cwd: '/file-in-the-way/file/x' })).toMatchObject({
    ...{ status: 126, err: expect.stringContaining('cannot change to the directory') },
  });
  expect(existsSync(join(root, 'made'))).toBe(false);
});

test('variables of a megabyte are delivered, and one that no kernel takes is told', () => {
  const root = rootWith();
  const many = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`V${i}`, 'x'.repeat(100_000)]));
  const count = { cmd: 'sh', args: ['-c', 'env | grep "^V" | wc -c'] };
  expect(run(root, { ...count, env: many })).toMatchObject({ status: 0, out: '1000040\n' });
  expect(run(root, { cmd: 'true', env: { V: 'x'.repeat(1 << 20) } })).toMatchObject({
    ...{ status: 126, err: expect.stringContaining('larger than the kernel takes') },
  });
});

test.each([
  '',
  '{',
  '{"version":1,"op":"ping"}',
  '{"version":1,"op":"exec","exec":{"cmd":""}}',
  '{"version":2,"op":"exec"}',
])('what is no description is refused: %s', (text) => {
  const { status, err } = run(rootWith(), text);
  expect(status).toBe(126);
  expect(err).toMatch(/^flintlock-agent: \/run: /);
});

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { demoSpec, poll, ROOT, startHost, type TestHost } from '../support/daemon.ts';
import { untilAgent } from '../support/exec-in.ts';
import { listTree } from '../support/list-tree.ts';
import { leaveToProofs } from '../support/proofs.ts';

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function start(host: TestHost, argv: readonly string[]): ChildProcess {
  const words = ['--host', `unix://${host.socket}`, ...argv];
  const child = spawn(`${ROOT}/bin/flintlock`, words, { stdio: ['pipe', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

async function outcome(child: ChildProcess): Promise<Ran> {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on('data', (data: Buffer) => out.push(data));
  child.stderr?.on('data', (data: Buffer) => err.push(data));
  await once(child, 'close');
  return { code: child.exitCode, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() };
}

async function run(host: TestHost, argv: readonly string[], stdin = ''): Promise<Ran> {
  const child = start(host, argv);
  child.stdin?.end(stdin);
  return outcome(child);
}

test('cp copies trees into a real guest and out of it, whole or not at all', async (t) => {
  const host = await startHost(t);
  await host.create(demoSpec('web'));
  await poll('the agent answers', 90_000, async () => {
    const { code, err } = await run(host, ['exec', 'web', '--', 'true']);
    return code === 0 ? { is: undefined } : { not: err };
  });
  const directory = mkdtempSync(join(tmpdir(), 'fl-e2e-cp-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const at = (path: string): string => join(directory, path);
  const ok = { code: 0, out: '', err: '' };

  // A tree that nobody here made: what Debian installs of a package, with its links.
  mkdirSync(at('tree'));
  for (const path of ['/usr/share/doc/dash', '/usr/share/zoneinfo/Etc', '/etc/init.d'])
    if (existsSync(path)) spawnSyncOk('cp', ['-a', path, at('tree')]);
  spawnSyncOk('truncate', ['-s', '3G', at('tree/sparse')]);
  expect(await run(host, ['cp', '-q', at('tree'), 'web:/tmp/'])).toEqual(ok);
  expect(await run(host, ['cp', '-q', 'web:/tmp/tree/.', at('back')])).toEqual(ok);
  // To a microsecond: Node sets times no finer.
  const seen = (path: string) => listTree(at(path)).map((line) => line.replace(/(@\d+)\.\d+/, '$1'));
  expect(seen('back')).toEqual(seen('tree'));
  expect(statSync(at('back/sparse')).blocks).toBe(0);

  // As the guest sees it.
  writeFileSync(at('file'), 'from the host\n', { mode: 0o640 });
  expect(await run(host, ['cp', '-q', '--owner', '7:8', at('file'), 'web:/root'])).toEqual(ok);
  expect(await run(host, ['exec', 'web', '--', 'stat', '-c', '%a %u %g %s', '/root/file'])).toMatchObject({
    out: '640 7 8 14\n',
  });
  expect((await run(host, ['cp', '-q', 'web:/proc/uptime', '-'])).out).toMatch(/^\d+\.\d+ /);
  expect(await run(host, ['cp', '-q', 'web:/no/such', at('x')])).toMatchObject({
    code: 3,
    err: expect.stringContaining('is not there'),
  });
  expect(await run(host, ['cp', '-q', '-', 'web:/root/typed'], 'typed')).toEqual(ok);
  expect(await run(host, ['exec', 'web', '--', 'cat', '/root/typed'])).toMatchObject({ out: 'typed' });

  // Far more than any window; and twice onto one file at once: it is one of them.
  writeFileSync(at('large'), Buffer.alloc(20 << 20, 'x'));
  const both = await Promise.all(['large', 'file'].map((name) => run(host, ['cp', '-q', at(name), 'web:/tmp/both'])));
  expect(both).toEqual([ok, ok]);
  expect(await run(host, ['cp', '-q', 'web:/tmp/both', at('both')])).toEqual(ok);
  expect([14, 20 << 20]).toContain(statSync(at('both')).size);

  // The guest's disk, which is a small one, is full.
  const full = await run(host, [
    'exec',
    'web',
    '--',
    'sh',
    '-c',
    'mkdir /tmp/s; mount -t tmpfs -o size=1m none /tmp/s',
  ]);
  expect(full.code).toBe(0);
  expect(await run(host, ['cp', '-q', at('large'), 'web:/tmp/s'])).toMatchObject({
    code: 1,
    err: expect.stringContaining('No space left on device'),
  });
  expect(await run(host, ['exec', 'web', '--', 'ls', '-A', '/tmp/s'])).toMatchObject({ out: '' });

  // The log says who did what, and no path.
  expect(host.log).toMatch(/write file in microVM.* bytes=14 result=done/);
  expect(host.log).not.toMatch(/\/root|\/tmp\/tree|typed/);

  // The daemon is killed in the middle, and nothing is left of the file that was under way.
  const cut = start(host, ['cp', '-q', '-', 'web:/root/cut']);
  cut.stdin?.write('half');
  const ended = outcome(cut);
  await poll('it has begun', 30_000, async () => {
    const { out } = await run(host, ['exec', 'web', '--', 'ls', '-A', '/root']);
    return out.includes('.flintlock-') ? { is: undefined } : { not: out };
  });
  await host.kill9();
  expect(await ended).toMatchObject({ code: 1, err: expect.stringContaining('flintlock:') });
  await host.start();
  await poll('nothing is left of it', 60_000, async () => {
    const { code, out } = await run(host, ['exec', 'web', '--', 'ls', '-A', '/root']);
    return code === 0 && !/cut|flintlock-/.test(out) ? { is: undefined } : { not: out };
  });
});

test('cp copies from guest to guest, with extended attributes and capabilities', async (t) => {
  leaveToProofs(t); // each half by an agent that is a process: cp.host.test.ts and files.host.test.ts
  const host = await startHost(t);
  const guests = await Promise.all(['db', 'copy'].map((id) => host.create(demoSpec(id))));
  for (const { spec } of guests) await untilAgent(host, spec?.uid ?? '');
  const directory = mkdtempSync(join(tmpdir(), 'fl-e2e-between-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const at = (path: string): string => join(directory, path);
  const ok = { code: 0, out: '', err: '' };
  mkdirSync(at('tree/sub'), { recursive: true });
  writeFileSync(at('tree/program'), 'a program', { mode: 0o755 });
  writeFileSync(at('tree/sub/large'), randomBytes(3 << 20));
  spawnSyncOk('setfattr', ['-n', 'user.origin', '-v', 'here', at('tree/sub/large')]);
  spawnSyncOk('setfattr', ['-n', 'user.kind', '-v', 'directory', at('tree/sub')]);
  spawnSyncOk('setcap', ['cap_net_bind_service=ep', at('tree/program')]);

  expect(await run(host, ['cp', '-q', at('tree'), 'db:/root/tree'])).toEqual(ok);
  expect(await run(host, ['cp', '-q', '--trusted', 'db:/root/tree', 'copy:/root/'])).toEqual(ok);
  expect(await run(host, ['cp', '-q', '--trusted', 'copy:/root/tree', at('back')])).toEqual(ok);
  const seen = (path: string) => listTree(at(path)).map((line) => line.replace(/(@\d+)\.\d+/, '$1'));
  expect(seen('back')).toEqual(seen('tree'));
  const attributes = (path: string): string => {
    const argv = ['-R', '-d', '-e', 'hex', '-m', '^(user|security.capability)', '.'];
    // In the order of the directory, which is the file system's.
    const files = spawnSync('getfattr', argv, { cwd: at(path), encoding: 'utf8' })
      .stdout.trim()
      .split('\n\n');
    return files.sort().join('\n');
  };
  expect(attributes('back')).toBe(attributes('tree'));
  expect(attributes('back')).toContain('security.capability');
  // Of one guest nothing is trusted that it did not get so: a capability would be a way to be root in the other.
  expect(await run(host, ['cp', '-q', 'db:/root/tree/program', 'copy:/root/untrusted'])).toMatchObject({
    code: 0,
    err: expect.stringContaining('without set-user-ID'),
  });
  const large = await run(host, ['exec', 'copy', '--', 'md5sum', '/root/tree/sub/large']);
  expect(large.out.split(' ')[0]).toBe(
    createHash('md5')
      .update(readFileSync(at('tree/sub/large')))
      .digest('hex'),
  );
});

function spawnSyncOk(program: string, args: readonly string[]): void {
  const { status } = spawnSync(program, args, { stdio: 'inherit' });
  expect(status).toBe(0);
}

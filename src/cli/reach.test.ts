import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { fakeVm, startFakeDaemon } from '../../test/support/fake-daemon.ts';
import { runCli } from '../../test/support/run-cli.ts';
import { contextsPath, readContexts, writeContexts } from './contexts.ts';
import { type ReachFlags, reachOf } from './reach.ts';

function scratch(): string {
  const directory = mkdtempSync('/tmp/flt-cli-');
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A home with two contexts, `lab` in use. */
function home(): { env: Record<string, string>; file: (text: string) => string } {
  const directory = scratch();
  const env = { HOME: directory };
  const lab = { host: 'lab:9090', token: 'of-lab' };
  writeContexts(env, {
    current: 'lab',
    contexts: { lab, far: { host: 'far:1', tlsServerName: 'x', token: 'of-far' } },
  });
  let count = 0;
  const file = (text: string): string => {
    const path = `${directory}/${++count}`;
    writeFileSync(path, text);
    return path;
  };
  return { env, file };
}

describe('what is in force', () => {
  test.for<[string, ReachFlags, Record<string, string>, object]>([
    ['the context in use', {}, {}, { address: { host: 'lab', port: 9090 }, token: 'of-lab' }],
    ['another context', { context: 'far' }, {}, { address: { host: 'far', port: 1, secure: true }, token: 'of-far' }],
    ['one by the environment', {}, { FLINTLOCK_CONTEXT: 'far' }, { token: 'of-far' }],
    ['the flag over that', { context: 'lab' }, { FLINTLOCK_CONTEXT: 'far' }, { token: 'of-lab' }],
    ['a context over the host of the environment', { context: 'far' }, { FLINTLOCK_HOST: 'x:1' }, { token: 'of-far' }],
    ['a token over the context’s', { token: 'mine' }, {}, { address: { host: 'lab', port: 9090 }, token: 'mine' }],
    ['the environment’s over the context’s', {}, { FLINTLOCK_TOKEN: 'mine' }, { token: 'mine' }],
    ['TLS by a scheme', { host: 'https://a:1' }, {}, { address: { host: 'a', port: 1, secure: true }, tls: {} }],
    ['TLS by a flag', { host: 'a:1', tlsServerName: 'n' }, {}, { tls: { serverName: 'n' } }],
  ])('%s', ([, flags, variables, expected]) => {
    expect(reachOf(flags, { ...home().env, ...variables })).toMatchObject(expected);
  });

  test('another host gets nothing of the context', () => {
    const { env } = home();
    expect(reachOf({ host: 'evil:1' }, env)).toEqual({ address: { host: 'evil', port: 1 } });
    expect(reachOf({}, { ...env, FLINTLOCK_HOST: 'evil:1' })).toEqual({ address: { host: 'evil', port: 1 } });
    expect(reachOf({ host: 'evil:1' }, { ...env, FLINTLOCK_CONTEXT: 'lab' })).not.toHaveProperty('token');
  });

  test('a socket of this host gets no token that stands in the environment', () => {
    const env = { FLINTLOCK_TOKEN: 'of-others', FLINTLOCK_TLS_SERVER_NAME: 'x' };
    expect(reachOf({ host: 'unix:///a.sock' }, env)).toEqual({ address: { socket: '/a.sock' } });
    expect(reachOf({ host: 'unix:///a.sock', token: 'own' }, env)).toMatchObject({ token: 'own' });
  });

  test('a file has the token, or a certificate', () => {
    const { env, file } = home();
    expect(reachOf({ host: 'a:1', tokenFile: file('  secret\n') }, env)).toMatchObject({ token: 'secret' });
    expect(reachOf({ host: 'a:1', tlsCa: file('pem') }, env)).toMatchObject({ tls: { ca: Buffer.from('pem') } });
  });

  test.for<[ReachFlags, string]>([
    [{ context: 'lab', host: 'a:1' }, '--context and --host exclude each other'],
    [{ context: 'no' }, 'There is no context "no"'],
    [{ context: '__proto__' }, 'There is no context "__proto__"'],
    [{ host: 'http://a:1', tlsServerName: 'n' }, 'is plain text, and a TLS flag'],
    [{ host: 'a:1', tlsCert: '/x' }, '--tls-cert and --tls-key belong together'],
    [{ host: 'a:1', token: 'a', tokenFile: '/b' }, 'leave one of them out'],
    [{ host: 'a:1', tokenFile: '/nowhere' }, 'Cannot read the file of --token-file: ENOENT'],
    [{ host: 'a:1', token: 'a b' }, 'printable ASCII'],
  ])('%j is wrong', ([flags, part]) => {
    expect(() => reachOf(flags, home().env)).toThrow(part);
  });
});

describe('flintlock context', () => {
  test('adds, lists, uses and forgets; the file is for its owner, and no list tells a token', async () => {
    const env = { XDG_CONFIG_HOME: scratch() };
    const cli = (...argv: string[]) => runCli(['context', ...argv], { env, stdin: 'kettle-drum\n' });
    expect((await cli('ls')).stderr).toContain('There are no contexts');
    expect(await cli('add', 'lab', '--host', 'lab:9090', '--token-stdin', '--tls-ca', 'ca.pem')).toMatchObject({
      exit: 0,
    });
    expect(await cli('add', 'far', '--host', 'https://far')).toMatchObject({ exit: 0 });
    const path = contextsPath(env) ?? '';
    expect([statSync(path).mode & 0o777, readFileSync(path, 'utf8').includes('kettle-drum')]).toEqual([0o600, true]);
    expect(readContexts(env)).toMatchObject({
      current: 'lab',
      contexts: { lab: { tlsCa: `${process.cwd()}/ca.pem` } },
    });
    const listed = await cli('ls');
    expect(listed.stdout).toMatch(/NAME.*\n\* +lab +lab:9090 +yes +\(kept\)\n +far +https:\/\/far +yes +none\n/);
    const json = await cli('ls', '-o', 'json');
    expect(JSON.parse(json.stdout)).toMatchObject([{ name: 'lab', current: true, token: '(kept)' }, { name: 'far' }]);
    expect(listed.stdout + json.stdout).not.toContain('kettle-drum');
    await cli('use', 'far');
    expect(readContexts(env).current).toBe('far');
    await cli('rm', 'far');
    expect(readContexts(env)).toEqual({ contexts: { lab: expect.anything() } });
    await cli('use', 'lab');
    await cli('use', '--none');
    expect(readContexts(env)).not.toHaveProperty('current');
  });

  test.for<[string[], string]>([
    [['add', 'a/b', '--host', 'x:1'], 'is no name of a context'],
    [['add', 'a', '--host', 'ftp://x'], 'is no address of a daemon'],
    [['add', 'a'], "required option '--host <address>'"],
    [['add', 'a', '--host', 'x:1', '--tls-key', 'k'], 'belong together'],
    [['add', 'a', '--host', 'x:1', '--token-stdin', '--token-file', 'f'], 'exclude each other'],
    [['add', 'a', '--host', 'x:1', '--token-stdin'], 'Standard input has no token'],
    [['use'], 'Name a context'],
    [['use', 'a', '--none'], 'Name a context'],
    [['use', 'a'], 'There is no context "a"'],
    [['rm', 'a'], 'There is no context "a"'],
  ])('%j is wrong usage', async ([argv, part]) => {
    const result = await runCli(['context', ...argv], { env: { XDG_CONFIG_HOME: scratch() }, stdin: '' });
    expect(result).toMatchObject({ exit: 2, stdout: '', stderr: expect.stringContaining(part) });
  });

  test('a file that others can read, or that is none of ours, is not used', async () => {
    const { env } = home();
    const path = contextsPath(env) ?? '';
    chmodSync(path, 0o644);
    expect((await runCli(['list'], { env })).stderr).toContain(
      `others can read or change it\nClose it: chmod 0600 ${path}`,
    );
    chmodSync(path, 0o600);
    for (const text of ['', '[]', '{"contexts":{"a":{"host":1}}}', '{"contexts":{"a":{"colour":"red"}}}']) {
      writeFileSync(path, text);
      expect((await runCli(['list'], { env })).stderr).toContain('it is not what "flintlock context add" writes');
    }
  });

  test('a verb goes to the context in use', async () => {
    const { address } = await startFakeDaemon({ listMicroVMs: () => ({ microvm: [fakeVm()] }) });
    const env = { HOME: scratch() };
    writeContexts(env, { current: 'here', contexts: { here: { host: address } } });
    expect((await runCli(['list', '-o', 'name'], { env })).stdout).toBe('default/web\n');
    expect((await runCli(['--context', 'here', 'help', 'list'], { env })).stdout).toContain('Examples:');
  });
});

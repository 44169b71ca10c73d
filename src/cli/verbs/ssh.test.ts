import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { FAKE_UID, fakeVm, startFakeDaemon } from '../../../test/support/fake-daemon.ts';
import { runCli } from '../../../test/support/run-cli.ts';

async function daemon() {
  const { address } = await startFakeDaemon({ getMicroVM: () => ({ microvm: fakeVm() }) });
  const home = mkdtempSync(join(tmpdir(), "fl it's 100% "));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  return { address, home };
}

/** What ssh is given. */
async function given(argv: readonly string[], status: number | 'no ssh' = 0) {
  const { address, home } = await daemon();
  const ran: { argv: readonly string[]; env: Readonly<Record<string, string | undefined>> }[] = [];
  const onRun = (words: readonly string[], env: Readonly<Record<string, string | undefined>>) => {
    ran.push({ argv: words, env });
    return status === 'no ssh' ? undefined : status;
  };
  const result = await runCli(['--host', address, ...argv], { env: { HOME: home }, onRun });
  return { ...result, ran: ran[0], address, home };
}

test('ssh goes through this program, and knows the guest by its uid', async () => {
  const { ran, exit, address, home } = await given(['ssh', '-l', 'root', 'web', '--', '-v', 'uname', '-a'], 5);
  expect(exit).toBe(5);
  expect(ran?.argv).toEqual([
    ...['ssh', '-o', `ProxyCommand=/usr/bin/flintlock --host ${address} forward --stdio ${FAKE_UID} 22`],
    ...['-o', `HostKeyAlias=${FAKE_UID}`],
    ...['-o', `UserKnownHostsFile="${home.replace('%', '%%')}/.local/state/flintlock/known_hosts"`],
    ...['-o', 'StrictHostKeyChecking=accept-new'],
    ...['-l', 'root', 'web.default.flintlock', '-v', 'uname', '-a'],
  ]);
  expect(statSync(`${home}/.local/state/flintlock`).mode & 0o777).toBe(0o700);
});

test('a token goes by the environment, files by their whole path, each word whole', async () => {
  const { ran } = await given(['--token', 'secret', 'ssh', 'web']);
  expect(ran?.argv.join(' ')).not.toContain('secret');
  expect(ran?.env).toMatchObject({ FLINTLOCK_TOKEN: 'secret' });
  const file = join(mkdtempSync(join(tmpdir(), 'fl ')), "it's 5%");
  onTestFinished(() => rmSync(join(file, '..'), { recursive: true }));
  writeFileSync(file, 'token\n');
  const other = await given(['--token-file', file, 'ssh', 'web']);
  const quoted = `'${file.replace("'", "'\\''").replaceAll('%', '%%')}'`;
  expect(other.ran?.argv[2]).toContain(`--token-file ${quoted} forward --stdio`);
});

test('without ssh it is said what to install', async () => {
  const { exit, stderr } = await given(['ssh', 'web'], 'no ssh');
  expect([exit, stderr]).toEqual([1, expect.stringContaining('openssh-client')]);
});

test('ssh-config prints a section for each', async () => {
  const { stdout, exit, address } = await given(['ssh-config', '-l', 'root', 'web']);
  expect(exit).toBe(0);
  const proxy = `/usr/bin/flintlock --host ${address} forward --stdio ${FAKE_UID} 22`;
  expect(stdout).toMatch(/^# default\/web\nHost web\.default\.flintlock\n {2}ProxyCommand /);
  expect(stdout).toContain(`  ProxyCommand ${proxy}\n  HostKeyAlias ${FAKE_UID}\n`);
  expect(stdout).toMatch(/ {2}StrictHostKeyChecking accept-new\n {2}User root\n$/);
});

test('no place for host keys is told', async () => {
  const { address } = await daemon();
  expect(await runCli(['--host', address, 'ssh', 'web'])).toMatchObject({
    exit: 1,
    stderr: expect.stringContaining('There is no place'),
  });
});

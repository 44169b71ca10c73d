import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { DatabaseSync } from 'node:sqlite';
import { expect, onTestFinished, test } from 'vitest';
import { poll, ROOT, startHost } from '../support/daemon.ts';

function scratch(): string {
  const directory = mkdtempSync('/tmp/flt-');
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Runs the daemon where it should not start. @returns what it said */
function refused(...flags: readonly string[]): string {
  const { status, stderr, stdout } = spawnSync('unshare', ['--net', '--', `${ROOT}/bin/flintlockd`, 'run', ...flags], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  expect(stdout).toBe('');
  expect(status).toBeGreaterThan(0);
  const lines = stderr.split('\n').filter((line) => line.startsWith('flintlockd:') || line.startsWith('error:'));
  expect(lines).toHaveLength(1);
  return lines[0] ?? '';
}

const dirs = (root: string): string[] => ['--state-dir', `${root}/state`, '--run-dir', `${root}/run`];

test('plain text needs --insecure, and the refusal says both ways out', () => {
  const said = refused(...dirs(scratch()));
  expect(said).toContain('--insecure');
  expect(said).toContain('unix://');
});

test('a bad flag, a bad value and a file that is none are one clear line', () => {
  const root = scratch();
  expect(refused('--no-such-flag', '--insecure')).toContain('--no-such-flag');
  expect(refused(...dirs(root), '--insecure', '--managed-network', '10.77.0.5/24')).toContain('--managed-network');
  expect(refused(...dirs(root), '--insecure', '--maximum-retry', 'many')).toContain('--maximum-retry');
  expect(refused(...dirs(root), '--insecure', '--config', `${root}/nothing.yaml`)).toContain('nothing.yaml');
  writeFileSync(`${root}/bad.yaml`, 'insecure: true\nno-such-key: 1\n');
  expect(refused(...dirs(root), '--config', `${root}/bad.yaml`)).toContain('no-such-key');
});

test('a port in use is named', async (t) => {
  const host = await startHost(t, {
    flags: ['--managed-network', '10.77.0.0/24', '--insecure', '--http-endpoint', '127.0.0.1:8123'],
  });
  const root = scratch();
  const second = await host.tryInside(
    ...[`${ROOT}/bin/flintlockd`, 'run', ...dirs(root), '--insecure', '--managed-network', '10.78.0.0/24'],
    ...['--http-endpoint', '127.0.0.1:8123'],
  );
  expect(second.code).toBeGreaterThan(0);
  expect(second.stderr).toMatch(/flintlockd: .*127\.0\.0\.1:8123.*in use/);
});

test('a state directory that another daemon holds is refused', async (t) => {
  const host = await startHost(t);
  const second = await host.tryInside(
    ...[`${ROOT}/bin/flintlockd`, 'run', '--state-dir', host.state, '--run-dir', `${host.directory}/run2`],
    ...['--grpc-endpoint', `unix://${host.directory}/run2/api.sock`],
  );
  expect(second.code).toBe(1);
  expect(second.stderr).toContain('another flintlockd holds');
  expect((await host.vms.listMicroVMs({})).microvm).toEqual([]);
});

test('a state directory that cannot be written is refused', () => {
  const root = scratch();
  mkdirSync(`${root}/file`);
  rmSync(`${root}/file`, { recursive: true });
  writeFileSync(`${root}/file`, ''); // root may write anywhere but below a file
  const said = refused('--state-dir', `${root}/file/state`, '--run-dir', `${root}/run`, '--insecure');
  expect(said).toContain(`${root}/file/state`);
});

test('a database of a newer version is refused and not touched', () => {
  const root = scratch();
  mkdirSync(`${root}/state`, { mode: 0o700 });
  chmodSync(`${root}/state`, 0o700);
  const db = new DatabaseSync(`${root}/state/flintlock.db`);
  db.exec('PRAGMA user_version = 9999; CREATE TABLE theirs (x)');
  db.close();
  const said = refused(...dirs(root), '--insecure');
  expect(said).toContain('9999');
  const again = new DatabaseSync(`${root}/state/flintlock.db`);
  expect(again.prepare('PRAGMA user_version').get()?.user_version).toBe(9999);
  again.close();
});

test('the pid that was started is the daemon, and it says where it serves', async () => {
  const root = scratch();
  const daemon = spawn(
    'unshare',
    [
      '--net',
      '--',
      'sh',
      '-c',
      'ip link set lo up && exec "$@"',
      'sh',
      `${ROOT}/bin/flintlockd`,
      'run',
      ...dirs(root),
      '--insecure',
      '--grpc-endpoint',
      'localhost:0',
      '--http-endpoint',
      '[::1]:0',
    ],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  onTestFinished(() => void daemon.kill('SIGKILL'));
  const line = await new Promise<string>((done) => daemon.stdout.once('data', (data: Buffer) => done(data.toString())));
  expect(line).toMatch(/^flintlockd ready .*grpc=localhost:\d{2,5} http=\[::1\]:\d{2,5}\n$/);
  const ended = new Promise((done) => daemon.once('exit', (code) => done(code)));
  daemon.kill('SIGTERM');
  expect(await ended).toBe(0);
});

test('a daemon whose log nobody reads any more serves on, and answers', async () => {
  const root = scratch();
  const daemon = spawn(
    'unshare',
    [
      '--net',
      '--',
      `${ROOT}/bin/flintlockd`,
      'run',
      ...dirs(root),
      '--grpc-endpoint',
      `unix://${root}/x.sock`,
      '--managed-network',
      '10.77.0.0/24',
      '--http-endpoint',
      `unix://${root}/http.sock`,
    ],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  onTestFinished(() => void daemon.kill('SIGKILL'));
  await new Promise((done) => daemon.stdout.once('data', done));
  daemon.stderr.destroy();
  daemon.stdout.destroy();
  const ask = (path: string): Promise<number> =>
    new Promise((done, fail) => {
      const asked = request({ socketPath: `${root}/http.sock`, path }, (answer) => {
        answer.resume();
        answer.on('end', () => done(answer.statusCode ?? 0));
      });
      asked.on('error', fail);
      asked.end();
    });
  // A create that fails is logged: to nobody.
  const body = JSON.stringify({
    id: 'gone',
    kernel: { image: 'nowhere.invalid/x' },
    initrd: { image: 'nowhere.invalid/x' },
  });
  await new Promise((done, fail) => {
    const path = '/v1/namespaces/default/microvms';
    const headers = { 'content-type': 'application/json' };
    const asked = request({ socketPath: `${root}/http.sock`, path, method: 'POST', headers }, (answer) => {
      answer.resume();
      answer.on('end', done);
    });
    asked.on('error', fail);
    asked.end(body);
  });
  await poll('the create has failed at least once', 30_000, async () => {
    const text = await new Promise<string>((done, fail) => {
      const asked = request(
        { socketPath: `${root}/http.sock`, path: '/v1/namespaces/default/microvms/gone' },
        (answer) => {
          let said = '';
          answer.on('data', (data: Buffer) => {
            said += data.toString();
          });
          answer.on('end', () => done(said));
        },
      );
      asked.on('error', fail);
      asked.end();
    });
    return /"retry":[1-9]/.test(text) ? { is: undefined } : { not: text.slice(0, 300) };
  });
  // Reporting that it cannot report kept it too busy to answer.
  expect(await ask('/healthz')).toBe(200);
});

import { expect, test } from 'vitest';
import { startFakeDaemon } from '../../../test/support/fake-daemon.ts';
import { runCli } from '../../../test/support/run-cli.ts';

const item = (kind: string, name: string, unclear = false) => ({
  ...{ kind, name, owner: '', detail: 'ours by its name', unclear },
});
const tap = item('interface', 'flabcdxyz0');
const file = item('file', '/var/lib/flintlock/vm/x');

test.for([
  { what: 'clean', report: { known: [tap] }, argv: [], exit: 0, says: 'clean: host and ledger agree' },
  {
    what: 'what nothing proves',
    report: { leaked: [item('mount', '/x', true)] },
    argv: [],
    exit: 1,
    says: 'not clean: 0 leaked, 0 missing, 1 unclear',
  },
  { what: 'a leak', report: { leaked: [tap] }, argv: [], exit: 1, says: 'not clean: 1 leaked, 0 missing' },
  { what: 'a loss', report: { missing: [file] }, argv: [], exit: 1, says: 'not clean: 0 leaked, 1 missing' },
  {
    what: 'all mended',
    report: { leaked: [tap], fixed: [tap] },
    argv: ['--fix'],
    exit: 0,
    says: 'fixed (leaked, and undone now): 1',
  },
  {
    what: 'mended in part',
    report: { leaked: [tap, file], fixed: [tap] },
    argv: ['--fix'],
    exit: 1,
    says: 'not clean: 1 leaked, 0 missing, 1 fixed',
  },
])('audit: $what is exit status $exit', async ({ report, argv, exit, says }) => {
  const fixes: boolean[] = [];
  const { address } = await startFakeDaemon(
    {},
    {
      audit: ({ fix }) => {
        fixes.push(fix);
        return report;
      },
    },
  );
  const text = await runCli(['--host', address, 'audit', ...argv]);
  expect(text).toMatchObject({ exit, stderr: '' });
  expect(text.stdout).toContain(says);
  for (const { name } of Object.values(report).flat()) expect(text.stdout).toContain(name);
  const json = await runCli(['--host', address, 'audit', '-o', 'json', ...argv]);
  expect(json).toMatchObject({ exit, stderr: '' });
  expect(JSON.parse(json.stdout)).toEqual({
    ...{ known: [], leaked: [], missing: [], fixed: [], omitted: 0 },
    ...report,
  });
  expect(fixes).toEqual([argv.length > 0, argv.length > 0]);
});

test('info says what there is, and why not', async () => {
  const { address } = await startFakeDaemon(
    {},
    {
      serverInfo: () => ({
        version: '9.9.9',
        instance: 'abcd',
        defaultProvider: 'qemu',
        capacity: { vcpu: 2, memoryInMb: 4096n, diskInMb: 1024n },
        volumeCopy: 'qcow2',
        providers: [
          {
            name: 'qemu',
            available: true,
            version: '7.2',
            accelerator: 'tcg',
            acceleratorReason: 'no vmx',
            capabilities: ['tap'],
          },
          { name: 'firecracker', available: false, unavailableReason: 'the binary is not there' },
        ],
      }),
    },
  );
  const { exit, stdout } = await runCli(['--host', address, 'info']);
  expect(exit).toBe(0);
  expect(stdout).toMatch(/flintlockd +9\.9\.9\n/);
  expect(stdout).toContain('2 CPUs, 4.0 GiB memory, 1.0 GiB disk');
  expect(stdout).toContain('provider qemu (the default)\n  version      7.2\n  accelerator  tcg: no vmx\n');
  expect(stdout).toContain('not usable  the binary is not there');
  expect(JSON.parse((await runCli(['--host', address, 'info', '-o', 'json'])).stdout)).toMatchObject({
    version: '9.9.9',
    capacity: { memoryInMb: '4096' },
    reconciling: false,
  });
});

test('host cordon and uncordon say what follows, and info tells of it', async () => {
  const since = { seconds: 1_700_000_000n, nanos: 0 };
  const asked: string[] = [];
  const { address } = await startFakeDaemon(
    {},
    {
      cordonHost: ({ reason }) => {
        asked.push(reason);
        return { cordon: { since, reason } };
      },
      uncordonHost: () => ({}),
      serverInfo: () => ({ cordon: { since, reason: 'a \u001b[31mkernel' } }),
    },
  );
  const cli = (...argv: string[]) => runCli(['--host', address, ...argv]);
  expect(await cli('host', 'cordon', '--reason', 'kernel')).toMatchObject({
    exit: 0,
    stdout: expect.stringMatching(/^cordoned: /),
  });
  expect(JSON.parse((await cli('host', 'cordon', '-o', 'json')).stdout)).toMatchObject({
    cordon: { since: '2023-11-14T22:13:20Z' },
  });
  expect(asked).toEqual(['kernel', '']);
  expect(await cli('host', 'uncordon')).toMatchObject({ exit: 0, stdout: expect.stringMatching(/^uncordoned: /) });
  const { stdout } = await cli('info');
  expect(stdout).toMatch(/cordoned +since 2023-11-14T22:13:20.000Z: a /);
  expect(stdout).not.toContain('\u001b');
});

test('version is of the package', async () => {
  expect((await runCli(['version'])).stdout).toMatch(/^flintlock \d+\.\d+\.\d+\n$/);
});

test.for(['bash', 'zsh', 'fish'])('completion %s knows verbs, options and choices', async (shell) => {
  const { exit, stdout } = await runCli(['completion', shell]);
  expect(exit).toBe(0);
  for (const word of ['create', 'logs', 'timeout', 'created stopped gone address', 'flintlock list -A -o name'])
    expect(stdout).toContain(word);
});

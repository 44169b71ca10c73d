import { expect, test } from 'vitest';
import { fakeVm, startFakeDaemon } from '../../../test/support/fake-daemon.ts';
import { runCli } from '../../../test/support/run-cli.ts';
import type { ListMicroVMsRequest } from '../../gen/flintlock/microvm/v1/microvms_pb.ts';
import { MicroVMStatus_MicroVMState as State } from '../../gen/types/microvm_pb.ts';

const pending = fakeVm(
  { id: 'db', namespace: 'team-a' },
  { state: State.PENDING, reason: 'Preparing', networkInterfaces: {} },
);

async function listing(microvm = [fakeVm(), pending]) {
  const requests: ListMicroVMsRequest[] = [];
  const daemon = await startFakeDaemon({
    listMicroVMs: (request) => {
      requests.push(request);
      return { microvm };
    },
  });
  return { ...daemon, requests };
}

test('a table for people', async () => {
  const { address, requests } = await listing();
  const { exit, stdout, stderr } = await runCli(['--host', address, 'list', '-A']);
  expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
  const [head, web, db] = stdout.split('\n').map((line) => line.replace(/\b\d+[smhd]\b/, 'AGE'));
  expect(head).toMatch(/^NAMESPACE +ID +STATE +REASON +AGE +ADDRESSES +IMAGE$/);
  expect(web).toMatch(/^default +web +CREATED +Running +AGE +10\.77\.0\.2 +oci:\/images\/root:1$/);
  expect(db).toMatch(/^team-a +db +PENDING +Preparing +AGE +- +oci:\/images\/root:1$/);
  expect(requests).toMatchObject([{ namespace: '', labelSelector: '', showDeleted: false }]);
});

test('ls, namespace, selector and deleted reach the daemon', async () => {
  const { address, requests } = await listing();
  await runCli(['--host', address, 'ls', '-n', 'team-a', '-l', 'app=web', '--deleted']);
  await runCli(['--host', address, 'list']);
  expect(requests).toMatchObject([
    { namespace: 'team-a', labelSelector: 'app=web', showDeleted: true },
    { namespace: 'default' },
  ]);
});

test('-o wide, name, yaml and json', async () => {
  const { address } = await listing();
  const list = async (format: string): Promise<string> =>
    (await runCli(['--host', address, 'list', '-o', format])).stdout;
  expect(await list('wide')).toMatch(/UID +VCPU +MEMORY +PROVIDER.*\n.* 2 +256MiB +qemu\/tcg +0 +app=web/);
  expect(await list('name')).toBe('default/web\nteam-a/db\n');
  expect(await list('yaml')).toMatch(/^- version: 3\n {2}spec:\n {4}id: web\n/);
  expect(JSON.parse(await list('json'))).toMatchObject([
    { version: 3, spec: { id: 'web', memoryInMb: 256, generation: '1' }, status: { state: 'CREATED', retry: 0 } },
    { spec: { id: 'db' }, status: { state: 'PENDING', networkInterfaces: {} } },
  ]);
});

test('an empty list is an empty array for programs, and a word for people', async () => {
  const { address } = await listing([]);
  expect(await runCli(['--host', address, 'list', '-o', 'json'])).toMatchObject({
    exit: 0,
    stdout: '[]\n',
    stderr: '',
  });
  const { exit, stdout, stderr } = await runCli(['--host', address, 'list']);
  expect({ exit, stdout }).toEqual({ exit: 0, stdout: '' });
  expect(stderr).toBe('There are no microVMs in the namespace "default"; -A lists all namespaces.\n');
});

test('colour only on a terminal, and not with NO_COLOR', async () => {
  const { address } = await listing();
  const argv = ['--host', address, 'list'];
  expect((await runCli(argv, { terminal: true })).stdout).toContain('\x1b[32mCREATED\x1b[0m');
  expect((await runCli(argv, { terminal: true, env: { NO_COLOR: '1' } })).stdout).not.toContain('\x1b');
  expect((await runCli(argv)).stdout).not.toContain('\x1b');
});

test('what a record holds cannot move the cursor', async () => {
  const { address } = await listing([fakeVm({ id: 'a\x1b[2Jb' })]);
  expect((await runCli(['--host', address, 'list'])).stdout).toContain('a\\x1b[2Jb');
});

test('-w prints what there is once, then each change, until Ctrl-C', async () => {
  const stop = new AbortController();
  const changed = fakeVm({}, { state: State.STOPPED, reason: 'GuestShutdown' });
  changed.version = 4;
  const { address } = await startFakeDaemon({
    listMicroVMs: () => ({ microvm: [fakeVm()] }),
    async *watchMicroVMs(_, { signal }) {
      yield { type: 1, microvm: fakeVm() };
      yield { type: 4 };
      yield { type: 2, microvm: changed };
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
  });
  const onWrite = (all: string): void => {
    if (all.includes('STOPPED')) stop.abort(new Error('interrupted'));
  };
  const result = await runCli(['--host', address, 'list', '-w'], { interrupt: stop.signal, onWrite });
  expect(result).toMatchObject({ exit: 0, stderr: '' });
  expect(
    result.stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split(/ +/)[2]),
  ).toEqual(['STATE', 'CREATED', 'STOPPED']);
});

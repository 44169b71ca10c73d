import { Code, ConnectError } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { FAKE_UID, fakeVm, notFound, startFakeDaemon } from '../../../test/support/fake-daemon.ts';
import { runCli } from '../../../test/support/run-cli.ts';
import type { GetMicroVMRequest, WaitMicroVMRequest } from '../../gen/flintlock/microvm/v1/microvms_pb.ts';
import { MicroVMStatus_MicroVMState as State } from '../../gen/types/microvm_pb.ts';

test.for([
  { name: 'web', asked: { id: 'web', namespace: 'default', uid: '' } },
  { name: 'team-a/db', asked: { id: 'db', namespace: 'team-a', uid: '' } },
  { name: FAKE_UID, asked: { id: '', uid: FAKE_UID } },
])('$name names a microVM', async ({ name, asked }) => {
  const requests: GetMicroVMRequest[] = [];
  const { address } = await startFakeDaemon({
    getMicroVM: (request) => {
      requests.push(request);
      return { microvm: fakeVm() };
    },
  });
  const result = await runCli(['--host', address, 'get', name, '-o', 'json']);
  expect(result.exit).toBe(0);
  expect(JSON.parse(result.stdout).spec.uid).toBe(FAKE_UID);
  expect(requests).toMatchObject([asked]);
});

test('an id that looks like a uid is found too', async () => {
  const { address } = await startFakeDaemon({
    getMicroVM: ({ uid, id }) => {
      if (uid !== '') throw notFound(uid);
      return { microvm: fakeVm({ id }) };
    },
  });
  expect((await runCli(['--host', address, 'get', FAKE_UID])).stdout).toContain(`default/${FAKE_UID}  CREATED`);
});

test('get says why, and all that was made', async () => {
  const vm = fakeVm(
    {},
    {
      state: State.PENDING,
      reason: 'ImagePullFailed',
      message: 'The registry refuses the connection',
      retry: 2,
      nextRetryAt: { seconds: BigInt(Math.floor(Date.now() / 1000) + 60), nanos: 0 },
      progress: { step: 'volume', doneBytes: 2_048n },
      kernelImageDigest: 'sha256:aa',
      volumes: { root: { imageDigest: 'sha256:bb', sizeInMb: 64, mount: { type: 1, source: '/state/root.img' } } },
      conditions: [{ type: 'ImagesReady', status: 'False', reason: 'ImagePullFailed', message: 'refused' }],
      consoleTail: 'last words\r\n',
    },
  );
  const { address } = await startFakeDaemon({ getMicroVM: () => ({ microvm: vm }) });
  const { stdout } = await runCli(['--host', address, 'get', 'web']);
  expect(stdout).toContain('default/web  PENDING (ImagePullFailed)\n  why       The registry refuses the connection\n');
  expect(stdout).toContain('now       volume 2.0 KiB\n');
  expect(stdout).toMatch(/retry +2 failed\n +next try +in \d+ s\n/);
  expect(stdout).toMatch(/root +root +64 MiB +oci:\/images\/root:1 +sha256:bb +\/state\/root\.img\n/);
  expect(stdout).toMatch(/eth0 +10\.77\.0\.2 +host flabcd0 \(index 7/);
  expect(stdout).toMatch(/ImagesReady +False +ImagePullFailed +refused/);
  expect(stdout).toContain('digest   sha256:aa\n');
  expect(stdout).toContain('| last words\n');
});

test('what is not there is exit status 3, with what to do', async () => {
  const { address } = await startFakeDaemon({
    getMicroVM: ({ id }) => {
      throw notFound(`default/${id}`);
    },
  });
  for (const argv of [
    ['get', 'x'],
    ['delete', 'x'],
    ['wait', 'x'],
    ['console', 'x'],
  ]) {
    const result = await runCli(['--host', address, ...argv]);
    expect(result, argv.join(' ')).toMatchObject({ exit: 3, stdout: '' });
    expect(result.stderr).toMatch(/microVM default\/x not found\n"flintlock list -A"/);
  }
  expect(await runCli(['--host', address, 'wait', 'x', '--for', 'gone'])).toMatchObject({
    exit: 0,
    stdout: 'x is gone\n',
  });
});

test('delete takes several names and goes on after one that is not there', async () => {
  const deleted: string[] = [];
  const { address } = await startFakeDaemon({
    getMicroVM: ({ id, namespace }) => {
      if (id === 'b') throw notFound(`${namespace}/${id}`);
      return { microvm: fakeVm({ id, namespace, uid: `UID-${id}` }) };
    },
    deleteMicroVM: ({ uid }) => {
      deleted.push(uid);
      return {};
    },
    waitMicroVM: () => ({ microvm: fakeVm({}, { state: State.DELETING, reason: 'Deleted' }) }),
  });
  const result = await runCli(['--host', address, 'delete', 'a', 'b', 'team/c']);
  expect(result).toMatchObject({ exit: 3, stdout: 'default/a is being deleted\nteam/c is being deleted\n' });
  expect(result.stderr).toContain('Cannot delete b: microVM default/b not found');
  expect(deleted).toEqual(['UID-a', 'UID-c']);
  const waited = await runCli(['--host', address, 'rm', 'a', 'team/c', '--wait']);
  expect(waited.exit).toBe(0);
  expect(waited.stdout).toMatch(/^default\/a is gone after \d\.\d s\nteam\/c is gone after \d\.\d s\n$/);
});

test('wait asks the daemon, and says where the guest is', async () => {
  const requests: WaitMicroVMRequest[] = [];
  const { address } = await startFakeDaemon({
    getMicroVM: () => ({ microvm: fakeVm() }),
    waitMicroVM: (request) => {
      requests.push(request);
      return { microvm: fakeVm() };
    },
  });
  const result = await runCli(['--host', address, 'wait', 'web', '--for', 'address', '--timeout', '2m']);
  expect(result).toMatchObject({ exit: 0, stdout: 'default/web is at 10.77.0.2\n', stderr: '' });
  expect(requests).toMatchObject([{ uid: FAKE_UID, until: 4 }]);
  expect(Number(requests[0]?.timeout?.seconds)).toBeGreaterThanOrEqual(119);
});

test('a wait whose time is up ends with 4 and says what it is at', async () => {
  const { address } = await startFakeDaemon({
    getMicroVM: () => ({
      microvm: fakeVm({}, { state: State.PENDING, reason: 'Starting', message: 'Waits for QEMU' }),
    }),
    waitMicroVM: () => {
      throw new ConnectError('not CREATED', Code.DeadlineExceeded);
    },
  });
  const result = await runCli(['--host', address, 'wait', 'web', '--timeout', '0']);
  expect(result).toMatchObject({ exit: 4, stdout: '' });
  expect(result.stderr).toMatch(
    // On a busy machine what it is at is shown before.
    /^flintlock: default\/web is not CREATED after 0\.\d s: it is PENDING \(Starting\): Waits for QEMU\nIt goes on\./m,
  );
});

test('a wait outlives a restart of the daemon', async () => {
  let calls = 0;
  const { address } = await startFakeDaemon({
    getMicroVM: () => ({ microvm: fakeVm() }),
    waitMicroVM: (_, { signal }) => {
      if (calls++ === 0) throw new ConnectError('The daemon is shutting down', Code.Unavailable);
      expect(signal.aborted).toBe(false);
      return { microvm: fakeVm() };
    },
  });
  expect(await runCli(['--host', address, 'wait', 'web'])).toMatchObject({
    exit: 0,
    stdout: 'default/web is CREATED\n',
  });
  expect(calls).toBe(2);
});

test('a wait outlives a daemon that is killed', async () => {
  let calls = 0;
  const daemon = await startFakeDaemon({
    getMicroVM: () => ({ microvm: fakeVm() }),
    waitMicroVM: () => {
      if (calls++ > 0) return { microvm: fakeVm() };
      daemon.cut();
      return new Promise(() => undefined);
    },
  });
  expect(await runCli(['--host', daemon.address, 'wait', 'web'])).toMatchObject({ exit: 0 });
  expect(calls).toBe(2);
});

test('a wait for a FAILED microVM ends with 5, one that cannot come true with 1', async () => {
  let state: State = State.FAILED;
  const { address } = await startFakeDaemon({
    getMicroVM: () => ({ microvm: fakeVm({}, { state, reason: 'VmmExited', message: 'QEMU ended' }) }),
    waitMicroVM: () => {
      throw new ConnectError('it is being deleted', Code.FailedPrecondition);
    },
  });
  const failed = await runCli(['--host', address, 'wait', 'web']);
  expect(failed.exit).toBe(5);
  expect(failed.stderr).toContain('default/web is FAILED (VmmExited): QEMU ended\nSee: flintlock get default/web');
  state = State.DELETING;
  const never = await runCli(['--host', address, 'wait', 'web']);
  expect(never.exit).toBe(1);
  expect(never.stderr).toContain('default/web will not be CREATED: it is being deleted\n');
});

test('on a terminal the news of a wait are one line that goes away', async () => {
  const seen = Promise.withResolvers<void>();
  const { address } = await startFakeDaemon({
    getMicroVM: () => ({
      microvm: fakeVm({}, { state: State.PENDING, reason: 'Preparing', progress: { step: 'image' } }),
    }),
    waitMicroVM: async () => {
      await seen.promise;
      return { microvm: fakeVm() };
    },
  });
  const onWrite = (all: string): void => {
    if (all.includes('image')) seen.resolve();
  };
  const { stderr } = await runCli(['--host', address, 'wait', 'web'], { terminal: true, onWrite });
  const clear = '\r\x1b[2K';
  expect(stderr.startsWith(`${clear}default/web is PENDING (Preparing): image`)).toBe(true);
  expect(stderr.endsWith(clear)).toBe(true);
  expect(stderr).not.toContain('\n');
});

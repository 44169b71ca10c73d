import { Code, ConnectError } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { FAKE_UID, fakeVm, notFound, startFakeDaemon } from '../../../test/support/fake-daemon.ts';
import { runCli } from '../../../test/support/run-cli.ts';
import type { PowerMicroVMRequest } from '../../gen/flintlock/microvm/v1/microvms_pb.ts';
import { MicroVMStatus_MicroVMState as State } from '../../gen/types/microvm_pb.ts';

test.for([
  ['start', 'startMicroVM', 'default/web runs\n'],
  ['stop', 'stopMicroVM', 'default/web is STOPPED\n'],
  ['reboot', 'rebootMicroVM', 'default/web has rebooted\n'],
  ['pause', 'pauseMicroVM', 'default/web is PAUSED\n'],
  ['resume', 'resumeMicroVM', 'default/web runs\n'],
] as const)('%s asks the daemon, and prints what is so then', async ([verb, method, says]) => {
  const asked: PowerMicroVMRequest[] = [];
  const { address } = await startFakeDaemon({
    getMicroVM: () => ({ microvm: fakeVm() }),
    [method]: (request: PowerMicroVMRequest) => {
      asked.push(request);
      return { microvm: fakeVm({}, { state: State.STOPPED }) };
    },
  });
  const cli = (...more: string[]) => runCli(['--host', address, verb, 'web', ...more]);
  expect(await cli()).toMatchObject({ exit: 0, stdout: says });
  expect(await cli('--timeout', '2s', '-o', 'name')).toMatchObject({ exit: 0, stdout: 'default/web\n' });
  const json = await cli('--timeout', '0s', '-o', 'json');
  expect(JSON.parse(json.stdout)).toMatchObject({ spec: { uid: FAKE_UID }, status: { state: 'STOPPED' } });
  expect(asked.map(({ uid, timeout }) => [uid, timeout?.seconds])).toEqual([
    [FAKE_UID, 60n],
    [FAKE_UID, 2n],
    [FAKE_UID, 0n],
  ]);
  expect((await cli('--help')).stdout).toContain(`Examples:\n  flintlock ${verb} web`);
});

test('one of several that cannot be stopped is told of, and the others are stopped', async () => {
  const { address } = await startFakeDaemon({
    getMicroVM: ({ id }) => {
      if (id === 'none') throw notFound('default/none');
      return { microvm: fakeVm({ id, uid: id }) };
    },
    stopMicroVM: ({ uid }) => {
      if (uid === 'bad') throw new ConnectError(`Cannot stop microVM ${uid}: it is FAILED`, Code.FailedPrecondition);
      return { microvm: fakeVm({ id: uid }) };
    },
  });
  const result = await runCli(['--host', address, 'stop', 'none', 'bad', 'good']);
  expect(result).toMatchObject({ exit: 3, stdout: 'default/good is STOPPED\n' });
  expect(result.stderr).toMatch(/Cannot stop none: microVM default\/none not found/);
  expect(result.stderr).toMatch(/Cannot stop microVM bad: it is FAILED/);
});

import type { ServiceImpl } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { fakeVm, startFakeDaemon } from '../../../test/support/fake-daemon.ts';
import { runCli } from '../../../test/support/run-cli.ts';
import type { MicroVMService } from '../../gen/flintlock/microvm/v1/microvms_pb.ts';
import { type MicroVMSpec, MicroVMStatus_MicroVMState as State } from '../../gen/types/microvm_pb.ts';

/** A daemon whose guest ends at once, as `status` says. */
async function host(status: object) {
  const specs: MicroVMSpec[] = [];
  const vms: Partial<ServiceImpl<typeof MicroVMService>> = {
    createMicroVM: ({ microvm }) => {
      if (microvm) specs.push(microvm);
      return { microvm: fakeVm() };
    },
    waitMicroVM: () => ({ microvm: fakeVm() }),
    getMicroVM: () => ({ microvm: fakeVm({}, status) }),
    async *attachConsole() {
      yield { data: Buffer.from('said\n') };
    },
  };
  const serverInfo = () => ({ demoKernel: 'oci:/demo:kernel', managedNetwork: '' });
  const { address } = await startFakeDaemon(vms, { serverInfo });
  const run = (argv: readonly string[], env: Readonly<Record<string, string>> = {}) =>
    runCli(['--host', address, 'run', ...argv], { env });
  return { run, specs };
}

const ENDED = { state: State.STOPPED, reason: 'GuestShutdown', message: 'The guest powered itself off' };

test.each([0, 1, 3, 127, 137, 255])('the exit status %i of the program is ours', async (exitCode) => {
  const { run } = await host({ ...ENDED, exitCode });
  expect(await run(['oci:/r:1'])).toMatchObject({ exit: exitCode, stdout: 'said\n' });
});

test('a guest that tells none and powered off is a success, and one that died is not', async () => {
  expect((await (await host(ENDED)).run(['oci:/r:1'])).exit).toBe(0);
  expect((await (await host({ state: State.FAILED, reason: 'GuestPanic' })).run(['oci:/r:1'])).exit).toBe(5);
});

test('words behind -- are the program’s, also those that look like flags', async () => {
  const { run, specs } = await host(ENDED);
  await run(['oci:/r:1', '--rm', '--', 'python', '-c', 'print(1)', '--rm', '--', '-x']);
  expect(specs[0]?.process).toMatchObject({ entrypoint: [], args: ['python', '-c', 'print(1)', '--rm', '--', '-x'] });
  await run(['oci:/r:1']);
  expect(specs[1]?.process).toBeUndefined();
});

test('flags change what the image says', async () => {
  const { run, specs } = await host(ENDED);
  const flags = ['-e', 'A=b=c', '--env', 'HERE', '--env', 'NOT_HERE', '-u', 'app:7', '-w', '/srv', '--entrypoint', ''];
  await run([...flags, 'oci:/r:1', '--', 'x'], { HERE: 'yes' });
  expect(specs[0]?.process).toMatchObject({
    ...{ entrypoint: [''], args: ['x'], environment: { A: 'b=c', HERE: 'yes' }, user: 'app:7', directory: '/srv' },
  });
  expect(await run(['--env', '=x', 'oci:/r:1'])).toMatchObject({
    ...{ exit: 2, stderr: expect.stringContaining('names no variable') },
  });
});

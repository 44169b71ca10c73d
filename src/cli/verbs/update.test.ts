import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Code, ConnectError } from '@connectrpc/connect';
import { expect, onTestFinished, test } from 'vitest';
import { FAKE_UID, fakeVm, startFakeDaemon } from '../../../test/support/fake-daemon.ts';
import { runCli } from '../../../test/support/run-cli.ts';
import type { UpdateMicroVMRequest } from '../../gen/flintlock/microvm/v1/microvms_pb.ts';

async function updating(generation = 4n) {
  const requests: UpdateMicroVMRequest[] = [];
  const daemon = await startFakeDaemon({
    getMicroVM: () => ({ microvm: fakeVm({ generation: 3n }) }),
    updateMicroVM: (request) => {
      requests.push(request);
      return { microvm: fakeVm({ generation }), plan: request.validateOnly ? ['labels: set a=b'] : [] };
    },
  });
  const run = (...argv: string[]) => runCli(['--host', daemon.address, 'update', ...argv]);
  return { run, requests };
}

test('sends what is named and nothing else', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'flintlock-cli-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const file = join(directory, 'user-data');
  await writeFile(file, '#cloud-config\n');
  const { run, requests } = await updating();
  const flags = ['--label', 'a=b=c', '--label', 'old-', '--label', 'bare', '--restart-policy', 'NEVER'];
  const metadata = ['--metadata', `user-data=@${file}`, '--metadata', 'x=y', '--metadata', 'gone-'];
  const result = await run('web', ...flags, ...metadata, '--expect-generation', '3');
  expect(result).toMatchObject({ exit: 0, stdout: 'default/web updated, generation 4\n', stderr: '' });
  expect(requests).toMatchObject([
    {
      microvm: { uid: FAKE_UID, restartPolicy: 2 },
      updateMask: {
        paths: [
          ...['labels.a', 'labels.old', 'labels.bare'],
          ...['metadata.user-data', 'metadata.x', 'metadata.gone', 'restart_policy'],
        ],
      },
      expectedGeneration: 3n,
      validateOnly: false,
    },
  ]);
  expect(requests[0]?.microvm?.labels).toEqual({ a: 'b=c', bare: '' });
  expect(requests[0]?.microvm?.metadata).toEqual({ 'user-data': 'I2Nsb3VkLWNvbmZpZwo=', x: 'eQ==' });
});

test('says when nothing changed, and what would', async () => {
  const { run } = await updating(3n);
  expect((await run('web', '--label', 'a=b')).stdout).toBe('default/web is so already\n');
  const dry = await run('web', '--label', 'a=b', '--dry-run');
  expect(dry.stdout).toBe('default/web would be updated:\n  labels: set a=b\n');
  expect(JSON.parse((await run('web', '--label', 'a=b', '--dry-run', '-o', 'json')).stdout)).toMatchObject({
    plan: ['labels: set a=b'],
  });
  expect(JSON.parse((await run('web', '--label', 'a=b', '-o', 'json')).stdout)).toMatchObject({ spec: { id: 'web' } });
});

test('tells misuse before the daemon is asked', async () => {
  const { run, requests } = await updating();
  for (const argv of [
    ['web'],
    ['web', '--label', '-'],
    ['web', '--label', '=x'],
    ['web', '--restart-policy', 'SOMETIMES'],
    ['web', '--label', 'a=b', '--expect-generation', '0'],
    ['web', '--metadata', 'user-data=@/nowhere/at/all'],
  ])
    expect(await run(...argv), argv.join(' ')).toMatchObject({ exit: 2, stdout: '' });
  expect(requests).toEqual([]);
});

test('says what the daemon refuses', async () => {
  const { address } = await startFakeDaemon({
    getMicroVM: () => ({ microvm: fakeVm() }),
    updateMicroVM: () => {
      throw new ConnectError('Cannot update microVM default/web: it is of generation 4, not 3', Code.Aborted);
    },
  });
  const result = await runCli(['--host', address, 'update', 'web', '--label', 'a=b']);
  expect(result).toMatchObject({ exit: 1, stderr: expect.stringContaining('it is of generation 4, not 3') });
});

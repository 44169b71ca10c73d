import { Code, ConnectError } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { demoSpec, startHost } from '../support/daemon.ts';

test('what is promised is not promised twice; a delete frees it; a smaller limit refuses only what is new', async (t) => {
  const host = await startHost(t);
  const small = (id: string) => demoSpec(id, { volumes: [], interfaces: [] });
  const refusal = (id: string): Promise<ConnectError> =>
    host.create(small(id)).then(
      () => Promise.reject(new Error('it was accepted')),
      (error: unknown) => ConnectError.from(error),
    );
  await host.stop();
  await host.start('--max-memory', '200M', '--max-microvms', '5');

  const answers = await Promise.allSettled(['a', 'b', 'c', 'd', 'e', 'f'].map((id) => host.create(small(id))));
  const made = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value.spec?.uid ?? ''] : []));
  expect(made).toHaveLength(2);
  const refused = await refusal('g');
  expect(refused.code).toBe(Code.ResourceExhausted);
  expect(refused.rawMessage).toContain('it asks for 96 MiB of memory, 192 of at most 200 are promised');
  expect(await host.host.serverInfo({})).toMatchObject({
    promised: { vcpu: 2, memoryInMb: 192n, diskInMb: 0n },
    limits: { vcpu: 0, memoryInMb: 200n },
    maxMicrovms: 5,
  });

  const [first = '', second = ''] = made;
  await host.until(first, 'CREATED');
  await host.vms.deleteMicroVM({ uid: second });
  await host.untilGone(second);
  const third = (await host.create(small('h'))).spec?.uid ?? '';
  await host.vms.deleteMicroVM({ uid: third });
  await host.untilGone(third);

  const [vmm] = host.vmms(first);
  await host.stop();
  await host.start('--max-memory', '64M');
  await host.until(first, 'CREATED');
  expect(host.vmms(first)).toEqual([vmm]);
  expect((await refusal('i')).rawMessage).toContain('96 of at most 64 are promised');
});

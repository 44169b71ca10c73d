import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { Code, ConnectError } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { demoSpec, TestHost } from '../support/daemon.ts';

test('a disk that is full while the database writes refuses the create; with room it goes on', async (t) => {
  const host = new TestHost({});
  mkdirSync(host.state, { mode: 0o700, recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=700m,mode=700', 'tmpfs', host.state]);
  t.onTestFinished(async () => {
    await host.close().catch(() => undefined); // its directory is a mount until the next line
    execFileSync('umount', ['--lazy', host.state]);
    await host.close();
  });
  await host.start();
  const before = await host.create(demoSpec('before', { volumes: [], interfaces: [] }));
  await host.until(before.spec?.uid ?? '', 'CREATED');

  const ballast = `${host.state}/images/ballast`;
  // The daemon may write in between.
  const left = (): number =>
    Number(execFileSync('df', ['--output=avail', '-B1', host.state], { encoding: 'utf8' }).split('\n')[1]);
  for (let isFull = false; !isFull; )
    isFull = spawnSync('fallocate', ['--length', String(left()), ballast]).status === 0;
  // The log of the database may have room for one more record, or ten.
  let refused: ConnectError | undefined;
  for (let i = 0; i < 200 && !refused; i++)
    await host.create(demoSpec(`full-${i}`, { volumes: [], interfaces: [] })).catch((error: unknown) => {
      refused = ConnectError.from(error);
    });
  expect(refused && Code[refused.code]).toBe('ResourceExhausted');
  expect(refused?.rawMessage).toContain('no space left');
  // Reading goes on, and so does the guest.
  expect((await host.get(before.spec?.uid ?? '')).status?.state).toBe(1);

  rmSync(ballast);
  const { microvm: accepted } = await host.vms.listMicroVMs({});
  for (const vm of accepted) await host.vms.deleteMicroVM({ uid: vm.spec?.uid ?? '' });
  for (const vm of accepted) await host.untilGone(vm.spec?.uid ?? '');
  const after = await host.create(demoSpec('after', { volumes: [], interfaces: [] }));
  await host.until(after.spec?.uid ?? '', 'CREATED');
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
});

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { demoSpec, poll, ROOT, startHost, type TestHost } from '../support/daemon.ts';

const CLEAN = { leaked: [], missing: [], fixed: [] };
const exec = promisify(execFile);
const cli = async (host: TestHost, ...argv: readonly string[]): Promise<string> =>
  (await exec(`${ROOT}/bin/flintlock`, ['--host', `unix://${host.socket}`, ...argv], { timeout: 120_000 })).stdout;

/** Waits until the guest has come up so often, by its console. */
const untilUp = (host: TestHost, uid: string, times: number): Promise<undefined> =>
  poll(`${uid} has come up ${times} times`, 90_000, async () => {
    const ups = [...(await host.console(uid)).matchAll(/^flintlock-guest: up /gm)].length;
    return ups >= times ? { is: undefined } : { not: String(ups) };
  });

test('a guest is stopped by its power button, started, rebooted in place, paused and resumed', async (t) => {
  const host = await startHost(t);
  const uid = (await host.create(demoSpec('web'))).spec?.uid ?? '';
  await host.untilConsole(uid, /^flintlock-guest: up /);
  const [pid] = host.vmms(uid);

  expect(await cli(host, 'pause', 'web')).toBe(
    'default/web is PAUSED: The guest is paused, and its clock stands still\n',
  );
  expect((await host.get(uid)).status).toMatchObject({ state: 5, reason: 'Paused' });
  expect(await cli(host, 'resume', 'web')).toMatch(/^default\/web runs(: .*clock.*)?\n$/);

  expect(await cli(host, 'reboot', 'web')).toBe('default/web has rebooted\n');
  expect(host.vmms(uid)).toEqual([pid]);
  const rebooted = JSON.parse(await cli(host, 'get', 'web', '-o', 'json'));
  expect(rebooted).toMatchObject({ status: { state: 'CREATED', retry: 0 }, spec: { generation: '1' } });
  await untilUp(host, uid, 2);

  const stopped = JSON.parse(await cli(host, 'stop', 'web', '-o', 'json'));
  expect(stopped.status).toMatchObject({ state: 'STOPPED', reason: 'Stopped' });
  expect(stopped.status.message).toBe('Stopped by a user. The guest powered itself off');
  expect(host.vmms(uid)).toEqual([]);
  await expect(cli(host, 'pause', 'web')).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining('STOPPED'),
  });
  await host.kill9();
  await host.start();
  expect((await host.get(uid)).status?.state).toBe(4);

  expect(await cli(host, 'start', 'web')).toBe('default/web runs\n');
  // A guest that is given no time is ended.
  expect(await cli(host, 'stop', 'web', '--timeout', '0s')).toBe('default/web is STOPPED\n');
  expect((await host.get(uid)).status?.message).toContain('was ended');
  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid);
  expect(await host.audit()).toEqual(CLEAN);
});

test('a pause that was accepted happens, and lasts, whatever befalls the daemon', async (t) => {
  const host = await startHost(t);
  const uid = (await host.create(demoSpec('web'))).spec?.uid ?? '';
  await host.untilConsole(uid, /^flintlock-guest: up /);
  const pid = host.vmm(uid);

  // Its VMM cannot answer before the daemon is killed: the pause is no more than a wish by then.
  process.kill(pid, 'SIGSTOP');
  const paused = host.vms.pauseMicroVM({ uid }).catch(() => undefined);
  await poll('the wish is stored', 30_000, async () => {
    const message = (await host.get(uid)).status?.message ?? '';
    return message.includes('asked to pause it') ? { is: undefined } : { not: message };
  });
  await host.kill9();
  await paused;
  process.kill(pid, 'SIGCONT');
  await host.start();
  await poll('it is PAUSED', 60_000, async () => {
    const { status } = await host.get(uid);
    return status?.reason === 'Paused' ? { is: undefined } : { not: `${status?.reason}: ${status?.message}` };
  });
  expect(host.vmms(uid)).toEqual([pid]);

  // An answered one stays.
  await host.vms.resumeMicroVM({ uid });
  await host.vms.pauseMicroVM({ uid });
  await host.kill9();
  await host.start();
  expect((await host.get(uid)).status?.reason).toBe('Paused');
  await host.vms.resumeMicroVM({ uid });
  expect((await host.get(uid)).status?.reason).toBe('Running');
  expect(host.vmms(uid)).toEqual([pid]);
  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid);
  expect(await host.audit()).toEqual(CLEAN);
});

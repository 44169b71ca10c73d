/** The guest agent by every way to it, and what it mends: clocks after a pause, and guests that cannot be told to end. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { ANY_KERNEL, demoSpec, poll, ROOT, type SpecInit, startHost, type TestHost } from '../support/daemon.ts';
import { untilAgent } from '../support/exec-in.ts';
import { STAND_INS, standInHost } from '../support/stand-in-providers.ts';

const CLEAN = { leaked: [], missing: [], fixed: [] };
const exec = promisify(execFile);
const SMALL = `${ROOT}/.cache/images/kernel`;

const cli = async (host: TestHost, ...argv: readonly string[]): Promise<string> =>
  (await exec(`${ROOT}/bin/flintlock`, ['--host', `unix://${host.socket}`, ...argv], { timeout: 120_000 })).stdout;

test.for(STAND_INS)('$name: commands run by a vsock, before and after a daemon’s death', async ({ name }, t) => {
  const standIns = standInHost();
  t.onTestFinished(() => standIns.remove());
  const flags = ['--managed-network', '10.77.0.0/24', ...standIns.flags, '--default-provider', name];
  const host = await startHost(t, { ...standIns.options, flags });
  const uid = (await host.create(demoSpec('one'))).spec?.uid ?? '';
  expect(await untilAgent(host, uid)).toBe('The guest agent answers, version 1');
  expect(await cli(host, 'exec', 'one', '--', 'sh', '-c', 'echo $((6 * 7))')).toBe('42\n');
  await expect(cli(host, 'exec', 'one', '--', 'sh', '-c', 'exit 3')).rejects.toMatchObject({ code: 3 });
  expect(await host.audit()).toEqual(CLEAN);

  await cli(host, 'pause', 'one');
  await cli(host, 'resume', 'one');
  expect(await cli(host, 'exec', 'one', '--', 'echo', 'on')).toBe('on\n');
  // By an agent that serves no guest it is not set, and that is all the same to who asks.
  await poll('its clock is right', 30_000, async () => {
    const message = (await host.get(uid)).status?.message ?? '';
    return message.includes('behind') ? { not: message } : { is: undefined };
  });

  await host.kill9();
  await host.start();
  // The next daemon may not have met it yet: the call waits for that.
  expect(await cli(host, 'exec', 'one', '--', 'echo', 'again')).toBe('again\n');

  // In a machine that resets in place there is another agent then; in one that ends it is started anew.
  await cli(host, 'reboot', 'one');
  await poll('it runs commands again', 60_000, async () => {
    const said = await cli(host, 'exec', 'one', '--', 'echo', 'rebooted').catch((error: unknown) => String(error));
    return said === 'rebooted\n' ? { is: undefined } : { not: said };
  });

  const stopped = JSON.parse(await cli(host, 'stop', 'one', '-o', 'json'));
  expect(stopped.status.message).toMatch(/^Stopped by a user\. The guest (reset its machine|powered itself off)/);
  const off = (await host.create(demoSpec('off', { providerOptions: { agent: 'off' } }))).spec?.uid ?? '';
  await host.until(off, 'CREATED');
  await expect(cli(host, 'exec', 'off', '--', 'true')).rejects.toMatchObject({ code: 1 });
  for (const one of [uid, off]) {
    await host.vms.deleteMicroVM({ uid: one });
    await host.untilGone(one);
  }
  expect(await host.audit()).toEqual(CLEAN);
});

test('a guest that shuts down without a word on its console is seen by its agent', async (t) => {
  const standIns = standInHost();
  t.onTestFinished(() => standIns.remove());
  const flags = ['--managed-network', '10.77.0.0/24', ...standIns.flags, '--default-provider', 'firecracker'];
  const host = await startHost(t, { ...standIns.options, flags });
  const kernel: SpecInit['kernel'] = { image: ANY_KERNEL, cmdline: 'stand-in=mute' } as SpecInit['kernel'] & object;
  const uid = (await host.create(demoSpec('mute', { kernel }))).spec?.uid ?? '';
  await untilAgent(host, uid);
  const power = (await host.get(uid)).status?.conditions.find(({ type }) => type === 'PowerStateVisible');
  expect(power).toMatchObject({ status: 'True', reason: 'AgentAnswers' });
  await cli(host, 'exec', 'mute', '--', 'poweroff').catch(() => undefined);
  const { reason, message } = (await host.until(uid, 'STOPPED')).status ?? {};
  expect([reason, message]).toEqual(['GuestShutdown', expect.stringContaining('its agent said so')]);
  expect(host.vmms(uid)).toEqual([]);
  expect(await host.audit()).toEqual(CLEAN);
});

test('a guest that was paused tells the right time, also when the daemon died meanwhile', async (t) => {
  const host = await startHost(t);
  const uid = (await host.create(demoSpec('web'))).spec?.uid ?? '';
  await untilAgent(host, uid);
  /** By how many seconds the guest's clock is off, at most. */
  const off = async (): Promise<number> => {
    const before = Date.now() / 1_000;
    const said = Number(await cli(host, 'exec', 'web', '--', 'date', '+%s'));
    const after = Date.now() / 1_000;
    return Math.max(0, before - said - 1, said - after);
  };
  expect(await off()).toBeLessThan(1);
  for (const dies of [false, true]) {
    await cli(host, 'pause', 'web');
    const paused = Date.now();
    // A pause is a time.
    await poll('it stood still for a while', 30_000, async () => {
      const ms = Date.now() - paused;
      return ms > 5_000 ? { is: undefined } : { not: `${ms} ms` };
    });
    if (dies) {
      await host.kill9();
      await host.start();
      await host.until(uid, 'PAUSED');
    }
    await cli(host, 'resume', 'web');
    await poll('its clock is right again, and so is what is said of it', 60_000, async () => {
      const message = (await host.get(uid)).status?.message ?? '';
      const by = await off();
      return by < 1 && !message.includes('behind') ? { is: undefined } : { not: `${by} s; ${message}` };
    });
  }
  expect(host.log).toMatch(/a guest's clock was set.* behindMs=\d{4,}/);
});

// Debian's own kernel finds no device without ACPI.
test.skipIf(!existsSync(`${SMALL}/index.json`))(
  'a guest without a power button is shut down by its agent',
  async (t) => {
    const host = await startHost(t);
    const changes = { kernel: { image: `oci:${SMALL}:latest`, cmdline: 'quiet' }, interfaces: [] };
    const providerOptions = { 'qemu.acpi': 'off' };
    const uid = (await host.create(demoSpec('web', { ...changes, providerOptions }))).spec?.uid ?? '';
    await untilAgent(host, uid);
    const stopped = JSON.parse(await cli(host, 'stop', 'web', '--timeout', '60s', '-o', 'json'));
    expect(stopped.status).toMatchObject({ state: 'STOPPED', reason: 'Stopped' });
    expect(stopped.status.message).toMatch(/its agent shut the guest down|powered itself off/);
    expect(await host.console(uid)).toMatch(/(?:System halted|Power down|power off|halted)/i);
  },
);

import { mkdtempSync, rmSync } from 'node:fs';
import { expect, test } from 'vitest';
import { makeImage } from '../../guest/make-image.ts';
import { createProcesses } from '../../src/host/processes.ts';
import { idleKernel } from '../faults/idle-kernel.ts';
import { makeStandIn } from '../stand-ins/firecracker/program.ts';
import { startHost } from '../support/daemon.ts';

const CLEAN = { leaked: [], missing: [], fixed: [] };

test('a microVM lives under a stand-in of Firecracker, over resets, daemons, stop and start', {
  timeout: 600_000,
}, async (t) => {
  const place = mkdtempSync('/tmp/flt-fc-');
  const running = () =>
    createProcesses().find((argv) => argv.includes('--api-sock') && argv.includes(`${place}/firecracker`));
  t.onTestFinished(() => rmSync(place, { recursive: true, force: true }));
  const host = await startHost(t, {
    flags: [
      ...['--managed-network', 'none', '--default-provider', 'firecracker,qemu'],
      ...['--firecracker-bin', makeStandIn(place), '--firecracker-kvm', 'trust', '--firecracker-jail', 'off'],
    ],
  });
  // Before the host is left, whose processes are told by its own directory.
  t.onTestFinished(async () => {
    for (const { pid } of await running()) process.kill(pid, 'SIGKILL');
  });
  const { info } = await host.host
    .serverInfo({})
    .then((answer) => ({ info: answer.providers.find(({ name }) => name === 'firecracker') }));
  expect(info).toMatchObject({ available: true, version: '1.17.0-dev', features: { rebootInPlace: false } });

  const image = makeImage({ layout: `${host.images}/idle`, tag: 'v1', files: { '/boot/vmlinux': idleKernel() } });
  const root = { id: 'root', isRoot: true, sizeInMb: 16, source: { containerSource: image } };
  // Without one that tells of the guest's power, and reboots it.
  const providerOptions = { agent: 'off' };
  const machine = { vcpu: 1, memoryInMb: 64, kernel: { image }, volumes: [root], interfaces: [] };
  const spec = { id: 'a', ...machine, providerOptions };
  const uid = (await host.create(spec)).spec?.uid ?? '';
  const made = await host.until(uid, 'CREATED');
  expect(made.status?.provider).toBe('firecracker');
  expect(made.status?.conditions.find(({ type }) => type === 'PowerStateVisible')).toMatchObject({
    ...{ status: 'False', reason: 'PowerStateUntold' },
  });
  await host.untilConsole(uid, /disk vda ro=0 sectors=32768/);
  await host.untilConsole(uid, /stand-in: up cpus=1 mib=64/);
  expect(await host.audit()).toEqual(CLEAN);

  const [first] = await running();
  const ups = async (): Promise<number> => (await host.console(uid)).match(/stand-in: up/g)?.length ?? 0;
  await host.type(
    uid,
    'reboot',
    expect.poll(ups, { timeout: 60_000, interval: 200 }).toBe(2) as unknown as Promise<void>,
  );
  const again = await host.untilReason(uid, 'Running');
  expect(again).toMatchObject({ retry: 0 });
  const [second] = await running();
  expect(second?.pid).not.toBe(first?.pid);

  await host.kill9();
  await host.start();
  await host.until(uid, 'CREATED');
  expect((await running()).map(({ pid }) => pid)).toEqual([second?.pid]);
  await host.type(uid, 'who came later', host.untilConsole(uid, /who came later/));

  // Ctrl-Alt-Del, which it hears.
  await host.vms.stopMicroVM({ uid, timeout: { seconds: 60n } });
  expect(await running()).toEqual([]);
  expect((await host.get(uid)).status?.message).toContain('Stopped by a user. The guest reset its machine');
  await host.vms.startMicroVM({ uid, timeout: { seconds: 60n } });
  await host.until(uid, 'CREATED');
  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid);
  expect(await running()).toEqual([]);
  expect(await host.audit()).toEqual(CLEAN);
});

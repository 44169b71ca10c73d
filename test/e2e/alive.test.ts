import { timestampMs } from '@bufbuild/protobuf/wkt';
import { expect, test } from 'vitest';
import { makeImage } from '../../guest/make-image.ts';
import type { MicroVM } from '../../src/gen/types/microvm_pb.ts';
import { trialKernel } from '../../src/vmm/qemu/trial-kernel.ts';
import { DEMO_ROOT, demoSpec, KERNEL, startHost } from '../support/daemon.ts';
import { runCli } from '../support/run-cli.ts';

const ALIVE = 6;
const lifeOf = (vm: MicroVM | undefined) => vm?.status?.conditions.find(({ type }) => type === 'GuestAlive');

/** A kernel that finds nothing of its machine, as one without ACPI does: it halts at its first instruction. */
function silentKernel(): Uint8Array {
  const kernel = Buffer.from(trialKernel());
  const entry = Number(kernel.readBigUInt64LE(24)) - Number(kernel.readBigUInt64LE(64 + 24));
  kernel.write('faf4ebfd', entry, 'hex'); // cli; hlt; jmp to itself
  return kernel;
}

test('what is seen of a guest is told, and what is not within a minute; a pause leaves its clock behind', async (t) => {
  const host = await startHost(t, { flags: ['--managed-network', 'none'] });
  const image = makeImage({ layout: `${host.images}/silent`, tag: 'v1', files: { '/boot/vmlinux': silentKernel() } });
  const volumes = [{ id: 'root', isRoot: true, source: { containerSource: DEMO_ROOT } }];
  const { initrd: _, ...bare } = demoSpec('silent', { kernel: { image }, interfaces: [], volumes });
  const silent = (await host.create(bare)).spec?.uid ?? '';
  // Its console is elsewhere: its disks give it away.
  const cmdline = 'console=tty0 quiet';
  // An agent would set its clock.
  const providerOptions = { agent: 'off' };
  const kernel = { image: KERNEL, cmdline };
  const elsewhere = demoSpec('elsewhere', { kernel, interfaces: [], volumes, providerOptions });
  const uid = (await host.create(elsewhere)).spec?.uid ?? '';
  const { microvm } = await host.vms.waitMicroVM({ uid, until: ALIVE, timeout: { seconds: 120n } });
  expect(lifeOf(microvm)).toMatchObject({
    status: 'True',
    reason: 'Alive',
    message: expect.stringContaining('its disks'),
  });
  expect(lifeOf(microvm)?.message).not.toContain('console');

  const cli = (...argv: string[]) => runCli(['--host', `unix://${host.socket}`, ...argv]);
  expect((await cli('pause', 'elsewhere')).stdout).toContain('its clock stands still');
  const condition = () => host.get(silent).then(lifeOf);
  await expect
    .poll(condition, { timeout: 180_000, interval: 500 })
    .toMatchObject({ status: 'False', reason: 'NoSignOfLife' });
  const running = (await host.get(uid)).status?.conditions.find(({ type }) => type === 'Running');
  const since = running?.lastTransitionTime ? timestampMs(running.lastTransitionTime) : Number.NaN;
  await expect.poll(() => Date.now() - since, { timeout: 10_000 }).toBeGreaterThan(2_000);
  const resumed = await cli('resume', 'elsewhere');
  expect(resumed.stdout).toMatch(/its clock is \d+ s behind.*only the guest can set it/);
  expect((await cli('get', 'elsewhere')).stdout).toMatch(/its clock is \d+ s behind/);

  const told = await host.get(silent);
  expect(told.status).toMatchObject({
    state: 1,
    reason: 'Running',
    message: expect.stringMatching(/^No sign of life.*acpi=off/),
  });
  expect(host.log).toMatch(/a guest shows no sign of life/);
  expect((await cli('get', 'silent')).stdout).toMatch(/GuestAlive +False +NoSignOfLife/);
});

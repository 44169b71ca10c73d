import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { Code } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { makeImage } from '../../guest/make-image.ts';
import { MicroVMSpec_RestartPolicy as Policy } from '../../src/gen/types/microvm_pb.ts';
import { cgroupsOf } from '../support/cgroups.ts';
import { demoSpec, KERNEL, poll, ROOT, type SpecInit, startHost, TestHost } from '../support/daemon.ts';
import { resetKernel } from '../support/reset-kernel.ts';

/** One that stays as it died, to be looked at. */
const left = (id: string, change: Partial<SpecInit> = {}) =>
  demoSpec(id, { interfaces: [], restartPolicy: Policy.NEVER, ...change });
/** The limit, then what is used: of version 1 or 2. */
const MEMORY = ['memory.limit_in_bytes', 'memory.max', 'memory.usage_in_bytes', 'memory.current'];
const rootOf = (host: TestHost, tag: string, script: string) => [
  {
    id: 'root',
    isRoot: true,
    source: {
      containerSource: makeImage({
        layout: `${host.images}/${tag}`,
        tag,
        demo: true,
        files: { '/etc/flintlock/run': { mode: 0o755, content: `#!/bin/sh\n${script}\n` } },
      }),
    },
  },
];

test('a guest that resets itself in a loop is FAILED with GuestReset, or tried again later each time', async (t) => {
  const host = await startHost(t, { flags: ['--managed-network', 'none'] });
  const image = makeImage({
    layout: `${host.images}/reset`,
    tag: 'v1',
    files: { '/vmlinux': resetKernel() },
  });
  const kernel = { image };
  const uid = (await host.create(left('loop', { kernel, volumes: [] }))).spec?.uid ?? '';
  const failed = await host.until(uid, 'FAILED');
  expect(failed.status).toMatchObject({
    reason: 'GuestReset',
    message: expect.stringContaining('times within a minute'),
  });
  expect(host.vmms(uid)).toEqual([]);

  const again = (await host.create(demoSpec('again', { kernel, volumes: [], interfaces: [] }))).spec?.uid ?? '';
  const loop = await host.untilReason(again, 'CrashLoop');
  expect(loop.message).toContain('GuestReset');
  expect(loop.nextRetryAt).toBeDefined();
});

test('a VMM that stands still is VmmUnreachable, never running, and CREATED again when it goes on', async (t) => {
  const host = await startHost(t, { flags: ['--managed-network', 'none'] });
  const uid = (await host.create(left('still', { volumes: [] }))).spec?.uid ?? '';
  await host.until(uid, 'CREATED');
  const pid = host.vmm(uid);
  process.kill(pid, 'SIGSTOP');
  const still = await host.untilReason(uid, 'VmmUnreachable');
  expect(still.state).toBe(0);
  expect(still.conditions.find(({ type }) => type === 'Running')?.status).toBe('Unknown');
  process.kill(pid, 'SIGCONT');
  const back = await host.until(uid, 'CREATED');
  expect(back.status?.retry).toBe(0);
  expect(host.vmms(uid)).toEqual([pid]);
  // One that stands still can be stopped all the same.
  process.kill(pid, 'SIGSTOP');
  const { microvm } = await host.vms.stopMicroVM({ uid, timeout: { seconds: 1n } });
  expect(microvm?.status).toMatchObject({ state: 4, message: expect.stringContaining('was ended') });
  expect(host.vmms(uid)).toEqual([]);
});

test('a VMM that ends with a status of its own is VmmExited, with that status', async (t) => {
  const host = new TestHost({ flags: ['--managed-network', 'none'] });
  t.onTestFinished(() => host.close());
  const end = `${host.directory}/end`;
  const wrapper = `${host.directory}/qemu-system-x86_64`;
  // QEMU has no such bug to show: it is killed, so that it tells nothing itself, and the process that was started exits.
  const script = `case "$*" in *guest=flintlock-trial*) exec qemu-system-x86_64 "$@" ;; *-name*) ;; *) exec qemu-system-x86_64 "$@" ;; esac\nqemu-system-x86_64 "$@" &\nwhile [ ! -e ${end} ]; do sleep 0.1; done\nkill -9 $!\nexit 7\n`;
  writeFileSync(wrapper, `#!/bin/sh\n${script}`, { mode: 0o755 });
  chmodSync(host.directory, 0o755); // the VMM's user runs it
  await host.start('--qemu-bin', wrapper);
  const uid = (await host.create(left('exits', { volumes: [] }))).spec?.uid ?? '';
  await host.until(uid, 'CREATED');
  writeFileSync(end, '');
  const failed = await host.until(uid, 'FAILED');
  expect(failed.status).toMatchObject({ reason: 'VmmExited', message: expect.stringContaining('exit status 7') });
});

/** A QEMU that puts itself into a memory cgroup before it begins. */
function qemuIn(host: TestHost, procs: string): string {
  const wrapper = `${host.directory}/qemu-system-x86_64`;
  writeFileSync(wrapper, `#!/bin/sh\necho $$ >${procs} || exit 99\nexec qemu-system-x86_64 "$@"\n`);
  chmodSync(wrapper, 0o755);
  return wrapper;
}

for (const [version, root, limit, whether] of [
  [1, '/sys/fs/cgroup/memory', 'memory.limit_in_bytes', '/sys/fs/cgroup/memory/memory.limit_in_bytes'],
  [2, '/sys/fs/cgroup', 'memory.max', '/sys/fs/cgroup/cgroup.subtree_control'],
] as const)
  test(`a VMM that reaches the limit of its cgroup, version ${version}, is OutOfMemory`, async (t) => {
    if (!existsSync(whether)) return t.skip(`this host has no memory cgroup of version ${version}`);
    const host = new TestHost({ flags: ['--managed-network', 'none', '--vmm-cgroups', 'off'] });
    const group = `${root}/flintlock-test-${process.pid}`;
    mkdirSync(group);
    t.onTestFinished(async () => {
      await host.close();
      rmdirSync(group);
    });
    writeFileSync(`${group}/${limit}`, String(160 << 20));
    await host.start('--qemu-bin', qemuIn(host, `${group}/cgroup.procs`));
    const volumes = rootOf(
      host,
      'eater',
      'mount -t tmpfs -o size=100% none /mnt; echo eats; dd if=/dev/zero of=/mnt/x bs=1M 2>/dev/null',
    );
    const uid = (await host.create(left('eater', { memoryInMb: 256, volumes }))).spec?.uid ?? '';
    const failed = await host.until(uid, 'FAILED', 120_000);
    expect(failed.status).toMatchObject({ reason: 'OutOfMemory', message: expect.stringContaining('flintlock-test-') });
  });

test('a VMM is in a cgroup of its own, and OutOfMemory when it reaches its limit; nothing of it stays', async (t) => {
  const host = await startHost(t, { flags: ['--managed-network', 'none'] });
  if (host.log.includes('without limits of their own')) return t.skip('this host lets the daemon make no cgroups');
  const script = 'mount -t tmpfs -o size=100% none /mnt; sleep 2; dd if=/dev/zero of=/mnt/x bs=1M 2>/dev/null';
  const volumes = rootOf(host, 'glutton', script);
  const uid = (await host.create(left('glutton', { memoryInMb: 256, volumes }))).spec?.uid ?? '';
  await host.until(uid, 'CREATED', 120_000);
  const [pid] = host.vmms(uid);
  const own = cgroupsOf(host.state).filter((path) => path.endsWith(`/${uid}`));
  for (const path of own) expect(readFileSync(`${path}/cgroup.procs`, 'utf8')).toBe(`${pid}\n`);
  const [limit = '', usage = ''] = own.flatMap((path) => MEMORY.map((file) => `${path}/${file}`)).filter(existsSync);
  expect(Number(readFileSync(limit, 'utf8'))).toBeGreaterThan(512 << 20);
  expect((await host.audit()).leaked).toEqual([]);
  writeFileSync(limit, String(Number(readFileSync(usage, 'utf8')) + (48 << 20)));
  const failed = await host.until(uid, 'FAILED', 120_000);
  expect(failed.status).toMatchObject({ reason: 'OutOfMemory', message: expect.stringContaining(uid) });
  await poll('its cgroup is gone', 20_000, async () => {
    const stay = cgroupsOf(host.state);
    return stay.length === 0 ? { is: true } : { not: stay.join(' ') };
  });
});

test("a guest is held while the host's disk is full, the status says so, and it goes on with room", async (t) => {
  const host = new TestHost({ flags: ['--managed-network', 'none'] });
  const disks = `${host.state}/vm`;
  mkdirSync(disks, { mode: 0o700, recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m,mode=700', 'tmpfs', disks]);
  t.onTestFinished(async () => {
    await host.close().catch(() => undefined); // its directory is a mount until the next line
    execFileSync('umount', ['--lazy', disks]);
    await host.close();
  });
  await host.start();
  const volumes = rootOf(
    host,
    'writer',
    'dd if=/dev/urandom of=/big bs=1M count=40 conv=fsync 2>/dev/null; echo wrote=$?',
  ).map((volume) => ({ ...volume, sizeInMb: 128 }));
  const uid = (await host.create(left('writer', { volumes }))).spec?.uid ?? '';
  await host.untilConsole(uid, /^flintlock-guest: up /);
  const held = await host.untilReason(uid, 'StorageFull');
  expect(held.state).toBe(0);
  expect(held.message).toContain("host's disk is full");
  expect(await host.console(uid)).not.toContain('wrote=');
  execFileSync('mount', ['-o', 'remount,size=400m', disks]);
  await host.until(uid, 'CREATED');
  expect(await host.untilConsole(uid, /wrote=/)).toContain('wrote=0');
});

test('a registry that answers 404 is ImageNotFound, for good', async (t) => {
  const host = await startHost(t, { flags: ['--managed-network', 'none', '--insecure-registry', '127.0.0.1:5001'] });
  const layout = `${host.images}/any`;
  makeImage({ layout, tag: 'v1', files: { '/any': '' } });
  const registry = host.spawnInside(process.execPath, `${ROOT}/test/stand-ins/registry.ts`, layout, '5001');
  t.onTestFinished(() => void registry.kill('SIGKILL'));
  await poll('the registry answers', 20_000, async () => {
    const { code, stderr } = await host.tryInside('curl', '-s', '-o', '/dev/null', 'http://127.0.0.1:5001/v2/');
    return code === 0 ? { is: undefined } : { not: stderr };
  });
  const uid =
    (await host.create(left('none', { kernel: { image: '127.0.0.1:5001/gone/x:v1' }, initrd: { image: KERNEL } }))).spec
      ?.uid ?? '';
  const { status } = await host.until(uid, 'FAILED');
  expect(status).toMatchObject({ reason: 'ImageNotFound', message: expect.stringContaining('gone/x:v1') });
});

test('what was deleted can be read, with why it died, for --retain-deleted and not longer', async (t) => {
  const host = new TestHost({ flags: ['--managed-network', 'none'] });
  t.onTestFinished(() => host.close());
  await host.start('--retain-deleted', '1h');
  const image = makeImage({ layout: `${host.images}/reset`, tag: 'v1', files: { '/vmlinux': resetKernel() } });
  const uid = (await host.create(left('gone', { kernel: { image }, volumes: [] }))).spec?.uid ?? '';
  await host.until(uid, 'FAILED');
  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid);
  const { status } = await host.get(uid);
  expect(status).toMatchObject({ state: 3, reason: 'Deleted' });
  expect(status?.message).toMatch(/before the delete it was FAILED \(GuestReset\): The guest reset itself/);
  await host.stop();
  await host.start('--retain-deleted', '1ms');
  await expect(host.vms.getMicroVM({ uid, showDeleted: true })).rejects.toMatchObject({ code: Code.NotFound });
});

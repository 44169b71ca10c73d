import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { makeImage } from '../../guest/make-image.ts';
import { MicroVMSpec_RestartPolicy } from '../../src/gen/types/microvm_pb.ts';
import { DEMO_ROOT, demoSpec, KERNEL, poll, startHost } from '../support/daemon.ts';
import { leaveToProofs } from '../support/proofs.ts';

test('a microVM is created, runs with its address and disks, and leaves nothing', async (t) => {
  const host = await startHost(t);
  const made = await host.create(demoSpec('one', { labels: { app: 'web' } }));
  const uid = made.spec?.uid ?? '';
  expect(uid).toMatch(/^[0-9A-Z]{26}$/);
  expect(made.status?.state).toBe(0);

  const up = await host.untilConsole(uid, /^flintlock-guest: up /);
  const vm = await host.until(uid, 'CREATED');
  const { microvm: addressed } = await host.vms.waitMicroVM({ uid, until: 4 });
  const nic = addressed?.status?.networkInterfaces.eth0;
  expect(up).toContain(`ip=${nic?.addresses[0]}`);
  expect(up).toContain('volumes=vda:rw');
  expect(up).toContain('cpus=1');
  expect(existsSync(vm.status?.volumes.root?.mount?.source ?? '')).toBe(true);
  expect(existsSync(vm.status?.kernelMount?.source ?? '')).toBe(true);
  const [link] = JSON.parse(await host.tool('ip', '-j', 'link', 'show', nic?.hostDeviceName ?? '')) as [
    { ifindex: number; address: string; ifalias: string },
  ];
  expect(link).toMatchObject({ ifindex: nic?.index, address: nic?.macAddress });
  expect(link.ifalias).toContain(uid);
  expect(vm.status?.kernelImageDigest).toMatch(/^sha256:/);
  await host.tool('ping', '-c', '1', '-W', '5', nic?.addresses[0] ?? '');

  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
  await host.vms.deleteMicroVM({ id: 'one' });
  await host.untilGone(uid);
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
  expect(host.vmms(uid)).toEqual([]);
  expect(await host.tool('ip', 'link')).not.toContain(nic?.hostDeviceName);
  const gone = await host.get(uid);
  expect(gone.status?.reason).toBe('Deleted');
});

test('a guest of kernel and initrd alone runs without volumes', async (t) => {
  const host = await startHost(t);
  const made = await host.create(demoSpec('bare', { volumes: [], interfaces: [] }));
  const uid = made.spec?.uid ?? '';
  await host.until(uid, 'CREATED');
  await host.untilConsole(uid, /volumes=none/);
});

test('a read-only data volume can be read and not written', async (t) => {
  leaveToProofs(t); // conformance's volumes/data-read-only
  const host = await startHost(t);
  const probe = makeImage({
    layout: `${host.images}/probe`,
    tag: 'root',
    demo: true,
    files: {
      '/etc/flintlock/run': {
        mode: 0o755,
        content: `#!/bin/sh
mkdir -p /run/data && mount -o ro /dev/vdb /run/data && echo "probe: data=$(cat /run/data/hello)"
umount /run/data
echo x 2>/dev/null >/dev/vdb && echo "probe: write went through" || echo "probe: write refused"
echo "probe: root $(touch /written && echo writable)"
`,
      },
    },
  });
  const data = makeImage({ layout: `${host.images}/data`, tag: 'v1', files: { '/hello': 'from-the-image\n' } });
  const made = await host.create(
    demoSpec('ro', {
      volumes: [
        { id: 'data', isReadOnly: true, source: { containerSource: data } },
        { id: 'root', isRoot: true, source: { containerSource: probe } },
      ],
    }),
  );
  const uid = made.spec?.uid ?? '';
  await host.untilConsole(uid, /probe: data=from-the-image/);
  await host.untilConsole(uid, /probe: write refused/);
  await host.untilConsole(uid, /probe: root writable/);
  await host.untilConsole(uid, /volumes=vda:rw,vdb:ro/);
});

test('two microVMs of one image do not see each other’s writes, and reach each other and the host', async (t) => {
  const host = await startHost(t);
  const image = makeImage({
    layout: `${host.images}/pair`,
    tag: 'root',
    demo: true,
    files: {
      '/etc/flintlock/run': {
        mode: 0o755,
        content: `#!/bin/sh
me=$(ip -4 -o addr show eth0 | awk '{ sub("/.*", "", $4); print $4 }')
echo "pair: before=$(cat /mark 2>/dev/null || echo none)"
echo "$me" >/mark && sync
for other in 10.77.0.2 10.77.0.3 10.77.0.1; do
  [ "$other" = "$me" ] && continue
  i=0
  until ping -c 1 -W 1 "$other" >/dev/null; do i=$((i + 1)); [ $i -lt 60 ] || break; done
  [ $i -lt 60 ] && echo "pair: $me reaches $other"
done
echo "pair: after=$(cat /mark)"
`,
      },
    },
  });
  const spec = (id: string) =>
    demoSpec(id, { volumes: [{ id: 'root', isRoot: true, source: { containerSource: image } }] });
  const uids = (await Promise.all([host.create(spec('a')), host.create(spec('b'))])).map((vm) => vm.spec?.uid ?? '');
  const addresses = await Promise.all(
    uids.map(async (uid) => {
      await host.untilConsole(uid, /pair: before=none/);
      const { microvm } = await host.vms.waitMicroVM({ uid, until: 4 });
      return microvm?.status?.networkInterfaces.eth0?.addresses[0] ?? '';
    }),
  );
  expect(new Set(addresses)).toEqual(new Set(['10.77.0.2', '10.77.0.3']));
  for (const [i, uid] of uids.entries()) {
    const mine = addresses[i];
    await host.untilConsole(uid, new RegExp(`pair: ${mine} reaches ${addresses[1 - i]}`));
    await host.untilConsole(uid, new RegExp(`pair: ${mine} reaches 10.77.0.1`));
    await host.untilConsole(uid, new RegExp(`pair: after=${mine}$`));
  }
});

test('a guest that powers off is STOPPED, one that dies and has NEVER for a policy is FAILED, each with its reason and last words', async (t) => {
  const host = await startHost(t);
  const image = (tag: string, script: string): string =>
    makeImage({
      layout: `${host.images}/${tag}`,
      tag,
      demo: true,
      files: { '/etc/flintlock/run': { mode: 0o755, content: `#!/bin/sh\n${script}\n` } },
    });
  const spec = (id: string, script: string) =>
    demoSpec(id, {
      restartPolicy: MicroVMSpec_RestartPolicy.NEVER,
      interfaces: [],
      volumes: [{ id: 'root', isRoot: true, source: { containerSource: image(id, script) } }],
    });
  const off = await host.create(spec('off', 'echo "last words"; poweroff'));
  const panic = await host.create(spec('panic', 'echo c >/proc/sysrq-trigger'));
  const killed = await host.create(spec('killed', 'echo "waits"'));

  const stopped = await host.until(off.spec?.uid ?? '', 'STOPPED', 90_000);
  expect(stopped.status?.reason).toBe('GuestShutdown');
  expect(stopped.status?.consoleTail).toContain('last words');
  const failed = await host.until(panic.spec?.uid ?? '', 'FAILED', 90_000);
  expect(failed.status?.reason).toBe('GuestPanic');
  expect(failed.status?.consoleTail).toContain('Kernel panic');

  const uid = killed.spec?.uid ?? '';
  await host.until(uid, 'CREATED');
  const at = Date.now();
  process.kill(host.vmm(uid), 'SIGKILL');
  const dead = await host.until(uid, 'FAILED');
  expect(Date.now() - at).toBeLessThan(1_000);
  expect(dead.status?.reason).toBe('VmmKilled');
  expect(dead.status?.message).toContain('SIGKILL');

  for (const vm of [off, panic, killed]) await host.vms.deleteMicroVM({ uid: vm.spec?.uid ?? '' });
  for (const vm of [off, panic, killed]) await host.untilGone(vm.spec?.uid ?? '');
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
});

test('a slow or absent console reader never stalls a guest, and a follower sees what comes', async (t) => {
  const host = await startHost(t);
  const image = makeImage({
    layout: `${host.images}/chatty`,
    tag: 'root',
    demo: true,
    files: {
      '/etc/flintlock/run': {
        mode: 0o755,
        content:
          '#!/bin/sh\ni=0; while [ $i -lt 400 ]; do echo "line $i ------------------------------"; i=$((i+1)); done; echo all-lines-said\n',
      },
    },
  });
  const made = await host.create(
    demoSpec('chatty', { interfaces: [], volumes: [{ id: 'root', isRoot: true, source: { containerSource: image } }] }),
  );
  const uid = made.spec?.uid ?? '';
  // A reader that takes one piece and then no more.
  const idle = new AbortController();
  const stuck = host.vms.readConsole({ uid, follow: true }, { signal: idle.signal })[Symbol.asyncIterator]();
  await stuck.next();
  let followed = '';
  for await (const { data } of host.vms.readConsole({ uid, follow: true })) {
    followed += Buffer.from(data).toString();
    if (followed.includes('all-lines-said')) break;
  }
  idle.abort();
  expect(followed).toContain('line 0 -');
  expect(followed).toContain('line 399 -');
  const recorded = await host.console(uid);
  expect(recorded.startsWith(followed.slice(0, 2_000))).toBe(true);
});

test('the same kernel serves by its well-known name and by its filename', async (t) => {
  leaveToProofs(t); // conformance's kernel/filename-* rows
  const host = await startHost(t);
  const made = await host.create(
    demoSpec('named', {
      kernel: { image: KERNEL, filename: 'boot/vmlinuz', cmdline: 'quiet flag "a=b c"' },
      interfaces: [],
    }),
  );
  const uid = made.spec?.uid ?? '';
  await host.untilConsole(uid, /^flintlock-guest: up /);
  const vm = await host.get(uid);
  expect(vm.status?.kernelFilename).toBe('boot/vmlinuz');
  expect(DEMO_ROOT).toContain('oci:');
  await poll('the audit is clean', 10_000, async () => {
    const { leaked, missing } = await host.audit();
    return leaked.length + missing.length === 0 ? { is: true } : { not: [...leaked, ...missing].join() };
  });
});

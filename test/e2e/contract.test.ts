/**
 * One contract for all providers: the same scenarios, over QEMU with real guests, and over the others with their stand-ins, or
 * with their programs where FLINTLOCK_TEST_FIRECRACKER and FLINTLOCK_TEST_CLOUDHYPERVISOR name them and the machine has KVM.
 */
import { readFileSync } from 'node:fs';
import { Code, ConnectError } from '@connectrpc/connect';
import { describe, expect, type TestContext, test } from 'vitest';
import { MicroVMSpec_RestartPolicy as Policy } from '../../src/gen/types/microvm_pb.ts';
import { MEMBERS, type Member, standInsFor } from '../contract/members.ts';
import { PATIENCE, poll, type SpecInit, startHost, type TestHost } from '../support/daemon.ts';

const CLEAN = { leaked: [], missing: [], fixed: [] };
const UP_MS = 180_000;

async function hostOf(t: TestContext, member: Member): Promise<TestHost> {
  const standIns = standInsFor(member);
  t.onTestFinished(() => standIns?.remove());
  return startHost(t, {
    ...standIns?.options,
    flags: [
      ...['--managed-network', '10.77.0.0/24', '--default-provider', member.name],
      ...(standIns?.flags ?? member.flags),
    ],
  });
}

const timesUp = async (host: TestHost, uid: string): Promise<number> =>
  (await host.console(uid)).match(/(?:^|\W)(?:guest|stand-in): up cpus=/gm)?.length ?? 0;

const untilUp = (host: TestHost, uid: string, times: number): Promise<void> =>
  poll(`it has come up ${times} times`, UP_MS, async () => {
    const ups = await timesUp(host, uid);
    return ups === times ? { is: undefined } : { not: `${ups} times; ${(await host.console(uid)).slice(-400)}` };
  });

async function begun(host: TestHost, spec: SpecInit): Promise<string> {
  const uid = (await host.create(spec)).spec?.uid ?? '';
  await host.until(uid, 'CREATED');
  await untilUp(host, uid, 1);
  return uid;
}

async function ended(host: TestHost, uid: string): Promise<void> {
  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid);
  expect(host.vmms(uid)).toEqual([]);
  expect(await host.audit()).toEqual(CLEAN);
}

async function featuresOf(host: TestHost, { name }: Member) {
  const found = (await host.host.serverInfo({})).providers.find((one) => one.name === name);
  expect(found).toMatchObject({ available: true, unavailableReason: '' });
  return found?.features;
}

/** What a process may do, by the kernel: its user, its capabilities, and whether it can get more. */
function rightsOf(pid: number): Record<string, string> {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const of = (field: string) => new RegExp(`^${field}:\\s*(\\S+)`, 'm').exec(status)?.[1] ?? '';
  return { uid: of('Uid'), capabilities: of('CapEff'), noNewPrivileges: of('NoNewPrivs') };
}

describe.each(MEMBERS)('$name, by $by', (member) => {
  test('a life: devices in their order, typing, pause, the next daemon, reboot, stop and start', {
    timeout: 900_000 * PATIENCE,
  }, async (t) => {
    const host = await hostOf(t, member);
    const uid = await begun(host, member.spec(host, 'life'));
    const { status } = await host.get(uid);
    expect(status).toMatchObject({ provider: member.name, reason: 'Running', retry: 0 });
    const seen = (await host.console(uid)).replaceAll('\r', '');
    expect([...seen.matchAll(/disk (vd\w) ro=(\d) sectors=(\d+)/gm)].map(([, ...disk]) => disk)).toEqual([
      ['vda', '0', String(24 * 2048)],
      ['vdb', '1', String(16 * 2048)],
      ['vdc', '0', String(20 * 2048)],
    ]);
    expect([...seen.matchAll(/nic (eth\d) mac=(\S+)/gm)].map(([, ...nic]) => nic)).toEqual([
      ['eth0', '02:00:00:00:0c:01'],
      ['eth1', '02:00:00:00:0c:02'],
    ]);
    await host.type(uid, 'typed by a user', host.untilConsole(uid, /typed by a user/));
    expect(await host.audit()).toEqual(CLEAN);

    const pid = host.vmm(uid);
    const { uid: user, ...rights } = rightsOf(pid);
    expect(rights).toEqual({ capabilities: '0000000000000000', noNewPrivileges: '1' });
    expect(Number(user)).toBeGreaterThan(0);

    await host.vms.pauseMicroVM({ uid });
    expect((await host.get(uid)).status?.reason).toBe('Paused');
    await host.kill9();
    await host.start();
    expect((await host.until(uid, 'PAUSED')).status?.retry).toBe(0);
    await host.vms.resumeMicroVM({ uid });
    await host.until(uid, 'CREATED');
    expect(host.vmms(uid)).toEqual([pid]);
    await host.type(uid, 'typed to the next', host.untilConsole(uid, /typed to the next/));

    await host.vms.rebootMicroVM({ uid });
    await untilUp(host, uid, 2);
    const again = await host.until(uid, 'CREATED');
    expect(again.status).toMatchObject({ retry: 0 });
    if ((await featuresOf(host, member))?.rebootInPlace) expect(host.vmms(uid)).toEqual([pid]);
    expect(await host.audit()).toEqual(CLEAN);

    await host.vms.stopMicroVM({ uid, timeout: { seconds: 60n } });
    expect((await host.get(uid)).status).toMatchObject({ reason: 'Stopped' });
    expect(host.vmms(uid)).toEqual([]);
    expect(await host.audit()).toEqual(CLEAN);
    await host.vms.startMicroVM({ uid, timeout: { seconds: 60n } });
    await untilUp(host, uid, 3);
    await ended(host, uid);
  });

  test('each end of a guest has its reason, and a reset is none', { timeout: 900_000 * PATIENCE }, async (t) => {
    const host = await hostOf(t, member);
    const spec = { ...member.spec(host, 'ends'), restartPolicy: Policy.NEVER };
    const uid = await begun(host, spec);
    const startAgain = async (): Promise<void> => {
      // One that panicked may have begun anew before it was ended.
      const before = await timesUp(host, uid);
      await host.vms.startMicroVM({ uid, timeout: { seconds: 60n } });
      await untilUp(host, uid, before + 1);
    };

    await host.type(uid, 'reboot', untilUp(host, uid, 2));
    expect((await host.until(uid, 'CREATED')).status).toMatchObject({ retry: 0 });

    await host.type(uid, 'panic', host.untilReason(uid, 'GuestPanic'));
    const panicked = await host.until(uid, 'FAILED');
    expect(panicked.status?.message).toMatch(/sysrq triggered crash/);
    expect(host.vmms(uid)).toEqual([]);
    await startAgain();

    await host.type(uid, 'poweroff', host.untilReason(uid, 'GuestShutdown'));
    await host.until(uid, 'STOPPED');
    expect(host.vmms(uid)).toEqual([]);
    await startAgain();

    process.kill(host.vmm(uid), 'SIGKILL');
    await host.untilReason(uid, 'VmmKilled');
    await host.until(uid, 'FAILED');
    await startAgain();

    // Nobody sees this one.
    const unseen = host.vmm(uid);
    await host.kill9();
    process.kill(unseen, 'SIGKILL');
    await host.start();
    await host.untilReason(uid, 'VmmVanished');
    expect(await host.audit()).toEqual(CLEAN);
    await ended(host, uid);
  });

  test('metadata that its VMM answers with is what it was changed to last, also by the next daemon', {
    timeout: 900_000 * PATIENCE,
  }, async (t) => {
    const host = await hostOf(t, member);
    const said = (value: string): Record<string, string> => ({ hello: Buffer.from(value).toString('base64') });
    const plain = member.spec(host, 'asks');
    const [nic] = plain.interfaces ?? [];
    const spec = {
      ...plain,
      metadata: said('one'),
      providerOptions: { ...plain.providerOptions, mmds: 'v1' },
      interfaces: [{ ...nic, allowMetadataReq: true }],
    } as SpecInit;
    if (!(await featuresOf(host, member))?.mmds) {
      await expect(host.create(spec)).rejects.toMatchObject({ code: Code.InvalidArgument });
      return;
    }
    const uid = await begun(host, spec);
    const answers = async (): Promise<readonly string[]> =>
      [...(await host.console(uid)).matchAll(/^mmds says: (.*?) *\r?$/gm)].map(([, answer = '']) => answer);
    // It is told soon after a change is stored, and a guest may ask before it has its address: it asks again.
    const untilSays = (value: string): Promise<void> =>
      poll(`the guest is told "${value}"`, UP_MS, async () => {
        const { length } = await answers();
        const next = poll('it was answered', UP_MS, async () => {
          const now = await answers();
          return now.length > length ? { is: now.at(-1) ?? '' } : { not: `${length} answers` };
        });
        const answer = await host.type(uid, 'ask /latest/hello', next);
        return answer === value ? { is: undefined } : { not: `it is told "${answer}"` };
      });
    const change = (value: string) =>
      host.vms.updateMicroVM({ microvm: { uid, metadata: said(value) }, updateMask: { paths: ['metadata.hello'] } });

    await untilSays('one');
    await change('two');
    await untilSays('two');
    const pid = host.vmm(uid);
    await host.kill9();
    await host.start();
    await host.until(uid, 'CREATED');
    expect(host.vmms(uid)).toEqual([pid]);
    await untilSays('two');
    await change('three');
    await untilSays('three');
    await ended(host, uid);
  });

  test('what its machine cannot do is refused by name, and nothing is made', {
    timeout: 300_000 * PATIENCE,
  }, async (t) => {
    const host = await hostOf(t, member);
    const features = await featuresOf(host, member);
    const spec = member.spec(host, 'no');
    const [root] = spec.volumes ?? [];
    const many = Array.from({ length: 80 }, (_, i) => ({ ...root, id: `v${i}`, isRoot: i === 0 }) as typeof root);
    const stranger = member.name === 'qemu' ? 'firecracker.smt' : 'qemu.acpi';
    const wrong: [string, Partial<SpecInit>][] = [
      ['vcpu', { vcpu: (features?.maxVcpu ?? 0) + 1 }],
      ['memory_in_mb', { memoryInMb: 1 }],
      ['volumes', { volumes: many as SpecInit['volumes'] & object }],
      ['provider_options', { providerOptions: { [stranger]: 'on' } }],
      ['provider', { provider: 'bochs' }],
    ];
    if (!features?.interfaceTypes.includes('MACVTAP'))
      wrong.push(['interfaces', { interfaces: [{ guestDeviceName: 'eth0', type: 0 }] }]);
    for (const [field, change] of wrong) {
      const refused = await host.create({ ...spec, ...change } as SpecInit).then(
        () => undefined,
        (error: unknown) => ConnectError.from(error),
      );
      expect([field, refused?.code], refused?.message).toEqual([field, Code.InvalidArgument]);
      expect(refused?.rawMessage).toContain(field);
    }
    expect((await host.vms.listMicroVMs({})).microvm).toEqual([]);
    expect(await host.audit()).toEqual(CLEAN);
  });
});

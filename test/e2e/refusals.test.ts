import { create, fromBinary } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { beforeAll, expect, test } from 'vitest';
import { makeImage } from '../../guest/make-image.ts';
import { BadRequestSchema } from '../../src/gen/google/rpc/error_details_pb.ts';
import { MicroVMSpecSchema } from '../../src/gen/types/microvm_pb.ts';
import { demoSpec, KERNEL, type SpecInit, startHost, TestHost } from '../support/daemon.ts';

/** What a refused create answers: its code, and the fields that it names. */
async function refusal(host: TestHost, spec: SpecInit): Promise<{ code: string; fields: string[]; text: string }> {
  try {
    await host.create(spec);
  } catch (error) {
    const fault = ConnectError.from(error);
    const details = fault.details.flatMap((detail) => {
      if ('desc' in detail || detail.type !== 'google.rpc.BadRequest') return [];
      return fromBinary(BadRequestSchema, detail.value).fieldViolations;
    });
    return { code: Code[fault.code], fields: details.map((v) => v.field), text: fault.rawMessage };
  }
  throw new Error('the create was accepted');
}

const CONTROL = String.fromCharCode(7);

test('what is wrong with a spec is said at once, by its name, and nothing of it is stored', async (t) => {
  const host = await startHost(t);
  const cases: readonly [what: string, spec: SpecInit, field: string][] = [
    ['no kernel', { ...demoSpec('x'), kernel: undefined } as unknown as SpecInit, 'kernel'],
    ['no kernel image', demoSpec('x', { kernel: { image: '' } }), 'kernel.image'],
    [
      'two roots',
      demoSpec('x', {
        volumes: ['a', 'b'].map((id) => ({ id, isRoot: true, source: { containerSource: KERNEL } })),
      }),
      'volumes',
    ],
    [
      'no root and no initrd',
      { ...demoSpec('x', { volumes: [] }), initrd: undefined } as unknown as SpecInit,
      'volumes',
    ],
    [
      'a volume id twice',
      demoSpec('x', {
        volumes: [true, false].map((isRoot) => ({ id: 'a', isRoot, source: { containerSource: KERNEL } })),
      }),
      'volumes[1].id',
    ],
    ['negative vcpu', demoSpec('x', { vcpu: -1 }), 'vcpu'],
    ['absurd vcpu', demoSpec('x', { vcpu: 2_000_000 }), 'vcpu'],
    ['negative memory', demoSpec('x', { memoryInMb: -5 }), 'memory_in_mb'],
    ['absurd memory', demoSpec('x', { memoryInMb: 2_000_000_000 }), 'memory_in_mb'],
    ['id with /', demoSpec('a/b'), 'id'],
    ['id with ..', demoSpec('a..b'), 'id'],
    ['id with a control character', demoSpec(`a${CONTROL}b`), 'id'],
    ['id of 300 bytes', demoSpec('a'.repeat(300)), 'id'],
    ['namespace with ..', demoSpec('x', { namespace: '../etc' }), 'namespace'],
    ['label key', demoSpec('x', { labels: { 'not valid!': 'x' } }), 'labels[not valid!]'],
    ['label value', demoSpec('x', { labels: { ok: 'no spaces' } }), 'labels[ok]'],
    [
      'multicast MAC',
      demoSpec('x', { interfaces: [{ guestDeviceName: 'eth0', type: 1, guestMac: '01:00:5e:00:00:01' }] }),
      'interfaces[0].guest_mac',
    ],
    [
      'malformed MAC',
      demoSpec('x', { interfaces: [{ guestDeviceName: 'eth0', type: 1, guestMac: '52:54:00' }] }),
      'interfaces[0].guest_mac',
    ],
    ['no interface type', demoSpec('x', { interfaces: [{ guestDeviceName: 'eth0' }] }), 'interfaces[0].type'],
    [
      'kernel outside its image',
      demoSpec('x', { kernel: { image: KERNEL, filename: '../../etc/shadow' } }),
      'kernel.filename',
    ],
    ['image outside the image roots', demoSpec('x', { kernel: { image: 'oci:/etc:kernel' } }), 'kernel.image'],
    ['image that is an option', demoSpec('x', { kernel: { image: '--help' } }), 'kernel.image'],
    ['metadata that is no base64', demoSpec('x', { metadata: { 'user-data': 'a b' } }), 'metadata[user-data]'],
    [
      'mount point',
      demoSpec('x', {
        volumes: [{ id: 'r', isRoot: true, mountPoint: '/elsewhere', source: { containerSource: KERNEL } }],
      }),
      'volumes[0].mount_point',
    ],
    ['restart policy', demoSpec('x', { restartPolicy: 7 as 2 }), 'restart_policy'],
    ['uid of the caller', demoSpec('x', { uid: 'mine' }), 'uid'],
  ];
  for (const [what, spec, field] of cases) {
    const refused = await refusal(host, spec);
    expect({ what, code: refused.code, fields: refused.fields }).toEqual({
      what,
      code: 'InvalidArgument',
      fields: expect.arrayContaining([field]),
    });
  }
  const many = await refusal(host, demoSpec('a/b', { vcpu: -1, memoryInMb: -1 }));
  expect(many.fields).toEqual(['id', 'vcpu', 'memory_in_mb']);

  expect((await host.vms.listMicroVMs({ showDeleted: true })).microvm).toEqual([]);
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
});

test('a taken id and a taken MAC are refused', async (t) => {
  const host = await startHost(t);
  const mac = '52:54:00:00:00:01';
  const spec = (id: string): SpecInit =>
    demoSpec(id, { interfaces: [{ guestDeviceName: 'eth0', type: 1, guestMac: mac }] });
  const first = await host.create(spec('one'));
  expect((await refusal(host, demoSpec('one'))).code).toBe('AlreadyExists');
  const taken = await refusal(host, spec('two'));
  expect(taken).toMatchObject({ code: 'InvalidArgument', fields: ['interfaces[0].guest_mac'] });
  await host.vms.deleteMicroVM({ uid: first.spec?.uid ?? '' });
  await host.untilGone(first.spec?.uid ?? '');
  await host.create(spec('two')); // both are free again
});

test('an image that cannot serve makes the microVM FAILED at once, with the reason', async (t) => {
  const host = await startHost(t);
  const noKernel = makeImage({ layout: `${host.images}/empty`, tag: 'v1', files: { '/readme': 'no kernel here' } });
  const cases: readonly [SpecInit, reason: string, text: string][] = [
    [demoSpec('tag', { kernel: { image: `${KERNEL}-not-there` } }), 'ImageNotFound', 'not-there'],
    [demoSpec('layout', { kernel: { image: `oci:${host.images}/nowhere:v1` } }), 'ImageNotFound', 'nowhere'],
    [demoSpec('file', { kernel: { image: KERNEL, filename: 'boot/nothing' } }), 'KernelNotFound', 'boot/nothing'],
    [demoSpec('names', { kernel: { image: noKernel } }), 'KernelNotFound', 'vmlinu'],
  ];
  for (const [spec, reason, text] of cases) {
    const vm = await host.create(spec);
    const failed = await host.until(vm.spec?.uid ?? '', 'FAILED', 20_000);
    expect({ id: spec.id, reason: failed.status?.reason }).toEqual({ id: spec.id, reason });
    expect(failed.status?.message).toContain(text);
    await host.vms.deleteMicroVM({ uid: vm.spec?.uid ?? '' });
    await host.untilGone(vm.spec?.uid ?? '');
  }
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
});

test('a kernel that is none is refused before the VMM is asked', async (t) => {
  const host = await startHost(t);
  const image = makeImage({ layout: `${host.images}/bad`, tag: 'v1', files: { '/vmlinux': 'this is no kernel\n' } });
  const vm = await host.create(demoSpec('bad', { kernel: { image } }));
  const failed = await host.until(vm.spec?.uid ?? '', 'FAILED', 30_000);
  expect(failed.status?.reason).toBe('KernelNotFound');
  expect(failed.status?.message).toContain('vmlinux is text');
  expect(host.vmms(vm.spec?.uid ?? '')).toEqual([]);
});

test('a VMM that is missing is told at create, with the remedy', async (t) => {
  const host = await startHost(t, { flags: ['--qemu-bin', '/nonexistent/qemu-system-x86_64'] });
  const refused = await refusal(host, demoSpec('one'));
  expect(refused.code).toBe('FailedPrecondition');
  expect(refused.text).toContain('--qemu-bin');
  expect((await host.vms.listMicroVMs({})).microvm).toEqual([]);
});

test('a DHCP server that cannot bind is told, retried, and does not keep the microVM from being deleted', async (t) => {
  const host = new TestHost({ flags: ['--managed-network', '10.77.0.0/24'] });
  t.onTestFinished(() => host.close());
  await host.start();
  // Somebody else has the port on every interface of this namespace.
  const squatter = host.spawnInside(
    ...['dnsmasq', '--conf-file=/dev/null', '--keep-in-foreground', '--port=0', '--user=root', '--pid-file'],
    '--dhcp-range=127.0.0.2,127.0.0.9',
  );
  t.onTestFinished(() => void squatter.kill('SIGKILL'));
  await host.untilBound(67);
  const vm = await host.create(demoSpec('one'));
  const uid = vm.spec?.uid ?? '';
  const reason = await host.untilReason(uid, 'NetworkFailed');
  expect(reason.message).toMatch(/dnsmasq|DHCP/);
  expect(reason.nextRetryAt).toBeDefined();
  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid);
});

test('a request of 5 MB is refused, and an unknown field of JSON too', async (t) => {
  const host = new TestHost({});
  t.onTestFinished(() => host.close());
  await host.start('--http-endpoint', `unix://${host.run}/http.sock`);
  const huge = await refusal(host, demoSpec('x', { labels: { a: 'x'.repeat(5 << 20) } }));
  expect(huge.code).toBe('ResourceExhausted');
  const answer = await host.http('POST', '/v1/namespaces/default/microvms', '{"id":"a","vpcu":1}');
  expect(answer.status).toBe(400);
  expect(answer.text).toContain('vpcu');
});

beforeAll(() => {
  create(MicroVMSpecSchema); // fails here, not in a test, when the generated code is not there
});

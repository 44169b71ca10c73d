import { toJson } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { fakeVm, startFakeDaemon } from '../../test/support/fake-daemon.ts';
import { runCli } from '../../test/support/run-cli.ts';
import { MicroVMSpecSchema } from '../gen/types/microvm_pb.ts';
import { imageOf, parseMemory } from './spec-flags.ts';

const KERNEL = ['--kernel-image', 'oci:/i/k:1'];

test('every flag reaches the spec', async () => {
  const specs: unknown[] = [];
  const { address } = await startFakeDaemon({
    createMicroVM: ({ microvm }) => {
      if (microvm) specs.push(toJson(MicroVMSpecSchema, microvm, { useProtoFieldName: true }));
      return { microvm: fakeVm() };
    },
  });
  const argv = ['--host', address, 'create', 'team-a/web', ...KERNEL];
  argv.push('--kernel-file', 'boot/vmlinux', '--cmdline', 'quiet x=1', '--initrd-image', 'oci:/i/k:1');
  argv.push('--initrd-file', 'initrd', '--root', 'registry:5000/web:1,ro,size=1G', '--vcpu', '2', '--memory', '512M');
  argv.push('--volume', 'data=oci:/i/d:2,mount=/data', '--volume', 'more=oci:/i/d:2', '--label', 'app=web');
  argv.push('--label', 'tier', '--nic', 'eth0,mac=02:00:00:00:00:01,address=10.77.0.9', '--nic', 'eth1,macvtap');
  argv.push('--publish', '8080:80', '--publish', '127.0.0.1:53:5353/udp', '--provider', 'qemu', '--pull', 'missing');
  argv.push('--provider-option', 'qemu.acpi=off', '--provider-option', 'a.b=c=d');
  expect(await runCli(argv)).toMatchObject({ exit: 0, stderr: '' });
  expect(specs).toEqual([
    {
      id: 'web',
      namespace: 'team-a',
      labels: { app: 'web', tier: '' },
      vcpu: 2,
      memory_in_mb: 512,
      kernel: { image: 'oci:/i/k:1', filename: 'boot/vmlinux', cmdline: 'quiet x=1' },
      initrd: { image: 'oci:/i/k:1', filename: 'initrd' },
      volumes: [
        {
          id: 'root',
          is_root: true,
          is_read_only: true,
          size_in_mb: 1024,
          source: { container_source: 'registry:5000/web:1' },
        },
        { id: 'data', mount_point: '/data', source: { container_source: 'oci:/i/d:2' } },
        { id: 'more', source: { container_source: 'oci:/i/d:2' } },
      ],
      interfaces: [
        {
          guest_device_name: 'eth0',
          type: 'TAP',
          guest_mac: '02:00:00:00:00:01',
          address: '10.77.0.9',
          published_ports: [
            { host_port: 8080, guest_port: 80, protocol: 'tcp' },
            { host_port: 53, guest_port: 5353, protocol: 'udp', host_ip: '127.0.0.1' },
          ],
        },
        { guest_device_name: 'eth1' }, // MACVTAP is the wire's 0
      ],
      provider: 'qemu',
      provider_options: { 'qemu.acpi': 'off', 'a.b': 'c=d' },
      pull_policy: 'MISSING',
    },
  ]);
});

test.for([
  { argv: ['create', 'a/b/c', ...KERNEL], says: '"a/b/c" is no name of a microVM' },
  { argv: ['create', 'a/b', '-n', 'c', ...KERNEL], says: 'The namespace is a in "a/b" and c in --namespace' },
  { argv: ['create', 'a', '-f', '-', '--vcpu', '1'], says: 'not by both\n  name a\n  flag --vcpu' },
  { argv: ['create', 'a', '--vcpu', '0'], says: 'Write a number of CPUs' },
  { argv: ['create', 'a', '--memory', '5X'], says: 'Write for instance 512M' },
  { argv: ['create', 'a', '--root', 'img,rw'], says: 'not ",rw"' },
  { argv: ['create', 'a', '--volume', 'img'], says: 'Write ID=IMAGE' },
  { argv: ['create', 'a', '--nic', 'eth0,up'], says: 'not ",up"' },
  { argv: ['create', 'a', '--publish', '80'], says: 'Write [IP:]HOST_PORT:GUEST_PORT' },
  { argv: ['create', 'a', '--publish', '70000:80'], says: 'Write [IP:]HOST_PORT:GUEST_PORT' },
  { argv: ['create', 'a', '--publish', '80:80'], says: '--publish leads to an interface: give one' },
  { argv: ['create', 'a', '--label', '=x'], says: 'Write KEY=VALUE' },
  { argv: ['create', 'a', '--initrd-file', 'x'], says: 'give --initrd-image too' },
])('$argv is wrong usage', async ({ argv, says }) => {
  const result = await runCli(['--host', '127.0.0.1:1', ...argv]);
  expect(result).toMatchObject({ exit: 2, stdout: '' });
  expect(result.stderr).toContain(says);
});

test('--print-spec prints what create -f takes, and asks no daemon', async () => {
  const argv = ['--host', '127.0.0.1:1', 'create', 'web', ...KERNEL, '--root', 'oci:/i/r:1', '--nic', 'eth0'];
  const yaml = await runCli([...argv, '--print-spec']);
  expect(yaml).toMatchObject({ exit: 0, stderr: '' });
  const json = await runCli([...argv, '--print-spec', '-o', 'json']);
  expect(parse(yaml.stdout)).toEqual(JSON.parse(json.stdout));
  const again = await runCli(['create', '-f', '-', '--print-spec'], { stdin: yaml.stdout });
  expect(again).toMatchObject({ exit: 0, stdout: yaml.stdout });
  expect((await runCli([...argv, '--print-spec', '-o', 'name'])).stdout).toBe('default/web\n');
});

test('--print-spec says what is missing or given twice, of every document', async () => {
  const stdin = 'id: a\nkernel: { image: k }\n---\nvolumes: [{ id: d, is_root: true }, { id: d, is_root: true }]\n';
  const result = await runCli(['create', '-f', '-', '--print-spec'], { stdin });
  expect(result.exit).toBe(2);
  expect(result.stdout).toMatch(/^id: a\n(.*\n)*---\nvolumes:\n/);
  for (const line of [
    'document 1: volumes: one must be the root (is_root), unless there is an initrd',
    'document 2: kernel.image: must name the image with the kernel',
    'document 2: volumes: 2 are the root; one may be',
    'document 2: volumes[0].source.container_source: must name an image',
    'document 2: volumes[1].id: "d" is given twice',
  ])
    expect(result.stderr).toContain(line);
});

test('sizes and local images', () => {
  expect(['512', '512M', '512MiB', '2G', '1T'].map(parseMemory)).toEqual([512, 512, 512, 2048, 1 << 20]);
  expect(imageOf('oci:/a/b:c')).toBe('oci:/a/b:c');
  expect(imageOf('oci:b:c')).toBe(`oci:${process.cwd()}/b:c`);
  expect(imageOf('oci:b')).toBe(`oci:${process.cwd()}/b`);
  expect(imageOf('oci:b:localhost/c:v1')).toBe(`oci:${process.cwd()}/b:localhost/c:v1`);
  expect(imageOf(`docker-archive:b@sha256:${'0'.repeat(64)}`)).toBe(
    `docker-archive:${process.cwd()}/b@sha256:${'0'.repeat(64)}`,
  );
  expect(imageOf('oci-archive:../x.tar:c')).toMatch(/^oci-archive:\/.*x\.tar:c$/);
  expect(imageOf('docker.io/library/x:1')).toBe('docker.io/library/x:1');
});

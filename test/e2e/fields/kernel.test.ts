import { ConnectError } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { makeImage } from '../../../guest/make-image.ts';
import { DEMO_ROOT, demoSpec, KERNEL, type SpecInit, startHost, type TestHost } from '../../support/daemon.ts';
import { leaveToProofs } from '../../support/proofs.ts';

const PROBE = `#!/bin/sh
echo "probe: cmdline $(cat /proc/cmdline)"
for nic in /sys/class/net/*; do
  echo "probe: nic \${nic##*/} $(cat "$nic/address") $(ip -4 -o addr show dev "\${nic##*/}" | grep -c inet)"
done
echo "probe: end"
`;

const probeImage = (host: TestHost): string =>
  makeImage({
    layout: `${host.images}/probe`,
    tag: 'root',
    demo: true,
    files: { '/etc/flintlock/run': { mode: 0o755, content: PROBE } },
  });

async function probe(host: TestHost, spec: SpecInit) {
  const made = await host.create(spec);
  const uid = made.spec?.uid ?? '';
  await host.untilConsole(uid, /probe: end/, 150_000);
  const vm = await host.until(uid, 'CREATED');
  const lines = (await host.console(uid)).split(/\r?\n/);
  const cmdline = lines.flatMap((line) => /probe: cmdline (.*)/.exec(line)?.[1] ?? [])[0] ?? '';
  const nics = lines.flatMap((line) => {
    const [, name, mac, addresses] = /probe: nic (\S+) (\S+) (\d+)/.exec(line) ?? [];
    return name === undefined || name === 'lo' ? [] : [{ name, mac, addresses: Number(addresses) }];
  });
  return { vm, words: cmdline.split(' '), nics };
}

test('names of interfaces and the network for cloud-init are told to the guest, and only where they are needed', async (t) => {
  leaveToProofs(t); // conformance's kernel/add_network_config, interfaces/three, guest_device_name and guest_mac rows
  const host = await startHost(t);
  const image = probeImage(host);
  const spec = (id: string, change: object): SpecInit =>
    demoSpec(id, { volumes: [{ id: 'root', isRoot: true, source: { containerSource: image } }], ...change });
  const nic = (guestDeviceName: string, guestMac?: string) => ({
    guestDeviceName,
    type: 1,
    ...(guestMac && { guestMac }),
  });
  const [told, simple] = await Promise.all([
    probe(
      host,
      spec('told', {
        // Neither in the order of the alphabet nor of the kernel.
        interfaces: [nic('lan0', '02:00:00:00:0A:01'), nic('eth0', '02:00:00:00:0a:02'), nic('a1')],
        kernel: { image: KERNEL, cmdline: 'quiet', addNetworkConfig: true },
      }),
    ),
    probe(host, spec('simple', { interfaces: [nic('eth0')] })),
  ]);

  const third = told.vm.status?.networkInterfaces.a1?.guestMac ?? '';
  expect(third).toMatch(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
  const wanted = [
    ['lan0', '02:00:00:00:0a:01'],
    ['eth0', '02:00:00:00:0a:02'],
    ['a1', third],
  ] as const;
  expect(told.words.filter((word) => word.startsWith('flintlock.'))).toEqual(
    wanted.map(([name, mac]) => `flintlock.nic=${mac},${name}`),
  );
  const [encoded, ...others] = told.words.filter((word) => word.startsWith('network-config='));
  expect(others).toEqual([]);
  const ethernets = wanted.map(([name, mac]) => [name, { match: { macaddress: mac }, 'set-name': name, dhcp4: true }]);
  expect(parse(Buffer.from(encoded?.slice('network-config='.length) ?? '', 'base64').toString())).toEqual({
    version: 2,
    ethernets: Object.fromEntries(ethernets),
  });
  expect(told.nics.toSorted((a, b) => a.name.localeCompare(b.name))).toEqual(
    wanted.map(([name, mac]) => ({ name, mac, addresses: 1 })).toSorted((a, b) => a.name.localeCompare(b.name)),
  );

  expect(simple.words.filter((word) => /^(flintlock\.|network-config)/.test(word))).toEqual([]);
  expect(simple.nics.map(({ name }) => name)).toEqual(['eth0']);
});

test('the provider may be named, and given options of its own', async (t) => {
  const host = await startHost(t);
  const spec = demoSpec('no-acpi', {
    ...{ provider: 'qemu', providerOptions: { 'qemu.acpi': 'off' } },
    ...{ volumes: [], interfaces: [], kernel: { image: KERNEL, cmdline: 'loglevel=7' } },
  });
  const made = await host.create(spec);
  const uid = made.spec?.uid ?? '';
  const vm = await host.until(uid, 'CREATED');
  expect(vm.spec).toMatchObject({ provider: 'qemu', providerOptions: { 'qemu.acpi': 'off' } });
  expect(vm.status?.provider).toBe('qemu');
  // What a kernel says that finds no tables.
  await host.untilConsole(uid, /ACPI: Unable to load the System Description Tables|valid RSDP was not found/);
  await host.untilConsole(uid, /^flintlock-guest: up /);
  const argv = host.processes().find((p) => p.argv.some((word) => word.includes(uid)))?.argv ?? [];
  expect(argv).toContain('microvm,acpi=off');
  expect(argv).not.toContain('pvpanic');
});

test('what is wrong with these fields is said by name, with what to do', async (t) => {
  const host = await startHost(t);
  const volume = (id: string, change: object = {}) => ({ id, source: { containerSource: DEMO_ROOT }, ...change });
  const withData = (change: object, more: object = {}) =>
    demoSpec('x', { volumes: [volume('root', { isRoot: true }), volume('d', change), volume('e', more)] });
  const cases: readonly [spec: SpecInit, says: RegExp][] = [
    [withData({ mountPoint: 'data' }), /volumes\[1\]\.mount_point: "data" must be an absolute path/],
    [withData({ mountPoint: '/a/../b' }), /volumes\[1\]\.mount_point: "\/a\/\.\.\/b" must be without "\.\."/],
    [withData({ mountPoint: '/a/' }), /volumes\[1\]\.mount_point: .* write "\/a"/],
    [withData({ mountPoint: '/' }), /volumes\[1\]\.mount_point: "\/" is the place of the root volume/],
    [withData({ mountPoint: '/a\nb' }), /volumes\[1\]\.mount_point: "\/a\?b" must be a path .* without control/],
    [
      withData({ mountPoint: '/a' }, { mountPoint: '/a' }),
      /volumes\[2\]\.mount_point: "\/a" is the mount_point of volumes\[1\] too/,
    ],
    [demoSpec('x', { volumes: [volume('r', { isRoot: true, mountPoint: '/x' })] }), /volumes\[0\]\.mount_point/],
    [withData({ partitionId: 'no-uuid' }), /volumes\[1\]\.partition_id: "no-uuid" must be a UUID/],
    [withData({ sizeInMb: -1 }), /volumes\[1\]\.size_in_mb: -1 is negative/],
    [withData({ sizeInMb: 2 ** 31 - 1 }), /volumes\[1\]\.size_in_mb: 2147483647 MiB is more than a disk can have/],
    [demoSpec('x', { provider: 'vmware' }), /provider: "vmware" is none of this daemon's: give .*qemu, or nothing$/],
    [demoSpec('x', { provider: '../qemu' }), /provider: "\.\.\/qemu" is no name of a provider/],
    [
      demoSpec('x', { providerOptions: { 'qemu.acpi': 'yes', 'qemu.turbo': 'on' } }),
      /provider_options\[qemu\.acpi\]: "yes" must be on or off; provider_options\[qemu\.turbo\]: .* there are: qemu\.acpi/,
    ],
    [
      withData({ mountPoint: `/${'x'.repeat(1000)}` }, { mountPoint: `/${'y'.repeat(1000)}` }),
      /kernel\.cmdline: makes \d+ bytes with the defaults, 20\d\d for the mount_points; the kernel reads only/,
    ],
    [
      demoSpec('x', {
        kernel: { image: KERNEL, cmdline: 'flintlock.mount=vdb:/a' },
        volumes: [volume('r', { isRoot: true }), volume('d', { mountPoint: '/a' })],
      }),
      /kernel\.cmdline: gives flintlock\.mount/,
    ],
  ];
  for (const [spec, says] of cases) {
    const answer = await host.create(spec).then(
      () => 'was accepted',
      (error: unknown) => ConnectError.from(error).message,
    );
    expect(answer).toMatch(says);
    expect(answer).toMatch(/^\[invalid_argument\]/);
  }
  expect((await host.vms.listMicroVMs({})).microvm).toEqual([]);
});

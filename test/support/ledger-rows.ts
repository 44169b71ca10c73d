import { type IntentOf, type LedgerKind, type ResultOf, type VmOwner, vmOwner } from '../../src/domain/ledger.ts';
import type { Uid } from '../../src/domain/microvm.ts';

/** A microVM by any name. */
export const ownedBy = (uid: string): VmOwner => vmOwner(uid as Uid);

const cached = { paths: ['/state/images/x', '/state/images/x.partial'] } as const;
const lease = { directory: '/run/fl/network', file: 'u-eth0', bridge: 'flabcdbr', mac: '52:00:00:00:00:01' };
const probed = { device: 'flabcdprobe', mac: '02:00:00:00:00:fe', address: '10.77.0.254' };

/** An intent of each kind, with every field that it may have. */
export const INTENTS: { readonly [K in LedgerKind]: IntentOf<K> } = {
  image: { reference: 'oci:/images:kernel', wants: ['kernel', 'initrd', 'volume'] },
  directory: { state: '/state/vm/u', run: '/run/fl/vm/u' },
  volume: { image: 'oci:/images:root', path: '/state/vm/u/disk0', readOnly: false, sizeInMb: 16, partitionUuid: 'p' },
  cidata: { path: '/state/vm/u/cidata.img' },
  lease: { ...lease, address: '10.77.0.2', hostname: 'web', isStatic: true },
  guard: { table: 'flintlock_abcd', device: 'flabcdu0', mac: '52:00:00:00:00:01', address: '10.77.0.2' },
  tap: { device: 'flabcdu0', bridge: 'flabcdbr', alias: 'flintlock:abcd:uid=u' },
  publish: {
    ...{ table: 'flintlock_abcd', address: '10.77.0.2' },
    ports: [{ hostPort: 8_080, guestPort: 80, protocol: 'tcp', hostIp: '' }],
  },
  macvtap: {
    ...{ device: 'flabcdu1', parent: 'par0', mac: '52:00:00:00:00:02', alias: 'flintlock:abcd:uid=u' },
    ...{ table: 'flintlock_abcd_macvtap', address: '192.0.2.9', node: '/state/vm/u/macvtap1' },
  },
  metadata: { table: 'flintlock_abcd_metadata', devices: ['flabcdu0'], address: '10.77.0.1', port: 20_000 },
  'macvtap-metadata': {
    ...{ table: 'flintlock_abcd_macvtap', device: 'flabcdu1', service: 'flabcdmd' },
    ...{ mac: '52:00:00:00:00:02', address: '127.64.0.1', port: 20_000 },
  },
  vmm: {
    provider: 'qemu',
    config: {
      ...{ uid: 'u', runDirectory: '/run/fl/vm/u', stateDirectory: '/state/vm/u', user: 70_000 },
      ...{ vcpu: 1, memoryInMb: 128, kernel: '/vmlinux', initrd: '/initrd', cmdline: 'quiet' },
      kernelFacts: { release: '6.1', parts: ['acpi'], unseen: 'some' },
      guestWords: ['hostname=web'],
      options: { 'qemu.acpi': 'on' },
      disks: [
        {
          ...{ id: 'root', path: '/state/vm/u/disk0', format: 'qcow2', backing: '/golden', readOnly: false },
          ...{ isRoot: true, partitionUuid: 'p' },
        },
      ],
      nics: [{ device: 'flabcdu0', mac: '52:00:00:00:00:01', mtu: 1_400, node: '/dev/tap9' }],
      cgroups: ['/sys/fs/cgroup/u'],
    },
    cgroups: [{ parent: '/sys/fs/cgroup', directory: '/sys/fs/cgroup/u', set: { 'pids.max': '9' }, enable: ['pids'] }],
  },
  forwarding: { was: false },
  bridge: { bridge: 'flabcdbr', alias: 'flintlock:abcd:bridge', address: '10.77.0.1/24' },
  firewall: { table: 'flintlock_abcd', bridge: 'flabcdbr', cidr: '10.77.0.0/24' },
  guards: { table: 'flintlock_abcd', prefix: 'flabcd' },
  publishing: { table: 'flintlock_abcd', bridge: 'flabcdbr', cidr: '10.77.0.0/24' },
  'metadata-path': {
    ...{ table: 'flintlock_abcd_metadata', prefix: 'flabcd', bridge: 'flabcdbr' },
    ...{ address: '10.77.0.1', routes: 1_000_001 },
  },
  'macvtap-guards': { table: 'flintlock_abcd_macvtap' },
  'macvtap-path': {
    ...{ table: 'flintlock_abcd_macvtap', device: 'flabcdmd', parent: 'par0' },
    ...{ alias: 'flintlock:abcd:macvtap', address: '127.64.0.1', routes: 3_000_001 },
  },
  dhcp: { directory: '/run/fl/network', bridge: 'flabcdbr', cidr: '10.77.0.0/24', gateway: '10.77.0.1' },
  probe: {
    ...{ bridge: 'flabcdbr', device: probed.device, table: 'flintlock_abcd_probe' },
    ...{ gateway: '10.77.0.1', cidr: '10.77.0.0/24' },
    lease: { ...lease, file: 'probe', mac: probed.mac, address: probed.address, hostname: '' },
    guard: { table: 'flintlock_abcd', ...probed },
    metadata: {
      ...{ table: 'flintlock_abcd_metadata', devices: [probed.device] },
      ...{ address: '10.77.0.1', port: 19_998 },
    },
    publish: {
      ...{ table: 'flintlock_abcd', address: probed.address },
      ports: [{ hostPort: 19_997, guestPort: 80, protocol: 'tcp', hostIp: '10.77.0.1' }],
    },
  },
  'image-tree': cached,
  golden: cached,
  'fitted-kernel': cached,
};

const link = { index: 7, mac: '0a:00:00:00:00:07' };

/** A result of each kind, with every field that it may have. */
export const RESULTS: { readonly [K in LedgerKind]: ResultOf<K> } = {
  image: {
    digest: 'sha256:aa',
    tree: '/state/images/trees/sha256-aa/rootfs',
    remark: 'its registry did not answer',
    kernel: { filename: 'vmlinux', path: '/vmlinux', release: '6.1', fitted: true, facts: { release: '6.1' } },
    initrd: { filename: 'initrd', path: '/initrd', takesProcess: true },
    saysProcess: true,
    notes: ['a note.'],
  },
  directory: null,
  volume: { digest: 'sha256:aa', path: '/state/vm/u/disk0', format: 'qcow2', backing: '/golden', sizeInMb: 16 },
  cidata: { path: '/state/vm/u/cidata.img' },
  lease: null,
  guard: null,
  tap: link,
  publish: null,
  macvtap: link,
  metadata: null,
  'macvtap-metadata': null,
  vmm: {
    macvtaps: { eth1: link },
    process: { pid: 7, startTime: '70', bootId: 'boot' },
    accelerator: 'tcg',
  },
  forwarding: null,
  bridge: null,
  firewall: null,
  guards: null,
  publishing: null,
  'metadata-path': null,
  'macvtap-guards': null,
  'macvtap-path': null,
  dhcp: null,
  probe: null,
  'image-tree': {
    ...{ bytes: 4_096, inodes: 3, os: 'linux', architecture: 'amd64' },
    ...{ artifact: 'an artifact', pulledAt: 1_000 },
    process: {
      ...{ entrypoint: ['/run'], args: ['x'], environment: ['A=1'], user: 'app', directory: '/srv', stopSignal: 3 },
    },
  },
  golden: { sizeInMb: 16 },
  'fitted-kernel': { filename: 'vmlinux', bytes: 4_096 },
};

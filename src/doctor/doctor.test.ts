import { expect, test } from 'vitest';
import { type Fake, fakeHost } from '../../test/support/fake-check-host.ts';
import { Fault } from '../domain/fault.ts';
import { PROVIDERS } from '../vmm/registry.ts';
import type { Check, Result } from './check.ts';
import { acceleration } from './checks/acceleration.ts';
import { cgroups } from './checks/cgroups.ts';
import { copies } from './checks/copies.ts';
import { directories } from './checks/directories.ts';
import { disk } from './checks/disk.ts';
import { forwarding } from './checks/forwarding.ts';
import { kernelFeatures } from './checks/kernel-features.ts';
import { memory } from './checks/memory.ts';
import { network } from './checks/network.ts';
import { ports } from './checks/ports.ts';
import { rights } from './checks/rights.ts';
import { tools } from './checks/tools.ts';
import { users } from './checks/users.ts';
import { ways } from './checks/ways.ts';
import { examine } from './doctor.ts';

const checks: readonly Check[] = PROVIDERS.flatMap((provider) => provider.checks);
const ofQemu = checks.find(({ name }) => name === 'qemu-system-x86_64');
const ofFirecracker = checks.find(({ name }) => name === 'firecracker');
if (!ofQemu || !ofFirecracker) throw new Error('a check is another');

const V2 = {
  '/proc/self/mountinfo': '1 2 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw',
  '/sys/fs/cgroup/cgroup.controllers': 'cpu memory pids',
  '/sys/fs/cgroup/cgroup.procs': '1\n2',
};
const ROOT = 'Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff';
const USER = 'Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000';
const CAGED_ROOT = 'Uid:\t0\t0\t0\t0\nCapEff:\t00000000a80425fb'; // a container's usual set: no CAP_NET_ADMIN

const WAYS = '/run/flintlock/network/ways.json';

const verdicts = async (check: Check, fake: Fake): Promise<string[]> =>
  (await check.examine(fakeHost(fake))).map(({ name, status, found }) => `${status} ${name}: ${found}`);

test.for<{ check: Check; fake: Fake; says: RegExp }>([
  { check: users, fake: {}, says: /^ok VMM users: 700000-765535, which nobody else has/ },
  {
    check: users,
    fake: { files: { '/etc/subuid': 'jim:689824:65536' } },
    says: /^ok VMM users: 765536-831071, which nobody else has/,
  },
  {
    check: users,
    fake: { vmmUsers: '700000-765535', files: { '/etc/subuid': 'jim:689824:65536', '/etc/passwd': 'a:x:755360:1' } },
    says: /^warn VMM users: of 700000-765535, the account a \(755360\), the containers of jim .* and 10175 are left/,
  },
  {
    check: users,
    fake: { vmmUsers: '700000-700010', files: { '/etc/subuid': 'jim:689824:65536' } },
    says: /^fail VMM users: .*jim.*: no VMM gets these, and 0 are left/,
  },
  { check: ways, fake: {}, says: /^ok ways of guests: not tried yet/ },
  {
    check: ways,
    fake: {
      files: {
        [WAYS]:
          '{"at":990000,"found":[{"way":"dhcp","is":"open"},{"way":"dns","is":"blocked","why":"the chain x","remedy":"y"}]}',
      },
    },
    says: /^ok ways of guests: open: dhcp \(tried 10 s ago\)\nfail way: dns: guests are cut off: the chain x/,
  },
  {
    check: ways,
    fake: { files: { [WAYS]: '{"at":990000,"found":[{"way":"out","is":"absent","why":"no route"}]}' } },
    says: /warn way: out: no route \(tried 10 s ago\)/,
  },
  { check: ways, fake: { files: { [WAYS]: '{"at":1,"found":[]}' } }, says: /^ok .*no daemon has tried them since/ },
  { check: ways, fake: { files: { [WAYS]: '{"at":' } }, says: /^warn .*cannot be read/ },
  { check: rights, fake: { files: { '/proc/self/status': ROOT, '/dev/net/tun': '' } }, says: /^ok rights/ },
  {
    check: rights,
    fake: { files: { '/proc/self/status': USER } },
    says: /^warn rights: this user lacks .*CAP_NET_ADMIN/,
  },
  {
    check: rights,
    fake: { files: { '/proc/self/status': CAGED_ROOT } },
    says: /^fail rights: root here lacks CAP_NET_ADMIN/,
  },
  { check: rights, fake: { files: { '/proc/self/status': ROOT } }, says: /fail \/dev\/net\/tun: is not there/ },
  {
    check: acceleration,
    fake: { files: { '/proc/cpuinfo': 'flags\t\t: fpu vmx', '/dev/kvm': '' }, tools: { 'test -': '' } },
    says: /^ok acceleration: KVM \(vmx/,
  },
  {
    check: acceleration,
    fake: { files: { '/proc/cpuinfo': 'flags\t: fpu hypervisor', '/dev/kvm': '' } },
    says: /^warn .*tcg.*neither vmx nor svm, although \/dev\/kvm is there/,
  },
  { check: acceleration, fake: { files: { '/proc/cpuinfo': 'flags\t: svm' } }, says: /^warn .*there is no \/dev\/kvm/ },
  {
    check: acceleration,
    fake: { files: { '/proc/cpuinfo': 'flags\t: svm', '/dev/kvm': '' } },
    says: /^warn .*this user may not open/,
  },
  { check: tools, fake: {}, says: /fail tar: is not installed/ },
  {
    check: tools,
    fake: {
      files: { '/proc/self/status': USER, '/usr/bin/tar': '' },
      tools: { '/usr/bin/tar --version': 'tar (GNU tar) 1.34\nmore' },
    },
    says: /ok tar: \/usr\/bin\/tar 1\.34; only root can try it/,
  },
  {
    check: tools,
    fake: { files: { '/proc/self/status': ROOT, '/usr/bin/nft': '' }, tools: { mktemp: '/tmp/x' } },
    says: /fail nft: \/usr\/bin\/nft does not do what is needed/,
  },
  {
    check: tools,
    fake: { files: { '/proc/self/status': ROOT, '/usr/bin/nft': '' } },
    says: /warn nft: \/usr\/bin\/nft could not be tried: no directory can be made/,
  },
  {
    check: tools,
    fake: {
      tools: { 'dpkg-query': '1.47.0-2' },
      daemon: {
        providers: [],
        tools: [
          { name: 'mke2fs', path: '/opt/mke2fs', is: 'works', found: '', remedy: '' },
          { name: 'tar', path: '/opt/tar', is: 'slow', found: '/opt/tar took 23 s', remedy: 'less load' },
        ],
      },
    },
    says: /warn tar: \/opt\/tar took 23 s, as the daemon finds it\nok mke2fs: \/opt\/mke2fs, package 1\.47\.0-2, as the daemon/,
  },
  {
    check: ofFirecracker,
    fake: { files: { '/proc/self/status': USER } },
    says: /^ok firecracker: Firecracker is not installed: microVMs go to the other providers/,
  },
  {
    check: ofFirecracker,
    fake: {
      files: { '/proc/self/status': USER, '/usr/bin/firecracker': '' },
      tools: { 'firecracker --version': 'Firecracker v1.12.1' },
    },
    says: /^ok firecracker: firecracker 1\.12\.1 can be used; only root can try \/dev\/kvm for it/,
  },
  {
    check: ofFirecracker,
    fake: {
      files: { '/proc/self/status': ROOT, '/usr/bin/firecracker': '' },
      tools: { 'firecracker --version': 'Firecracker v1.12.1' },
    },
    says: /^warn firecracker: Firecracker needs KVM\. There is no \/dev\/kvm/,
  },
  ...(['jail', 'pause'] as const).map((word) => ({
    check: ofFirecracker,
    fake: {
      daemon: {
        tools: [],
        providers: [
          ...[
            { name: 'firecracker', program: '/f', version: '1.12.1', available: true, why: '', capabilities: [word] },
          ],
        ],
      },
    },
    says:
      word === 'jail'
        ? /^ok firecracker: \/f 1\.12\.1 can be used, as the daemon finds it, in a jail for each microVM$/
        : /^warn firecracker: \/f 1\.12\.1 can be used.*in no jail: each Firecracker is a user of its own/,
  })),
  {
    check: ofQemu,
    fake: {
      daemon: {
        tools: [],
        providers: [{ name: 'qemu', program: '/opt/q', version: '', available: false, why: 'it has no firmware' }],
      },
    },
    says: /^fail qemu-system-x86_64: it has no firmware$/,
  },
  {
    check: ofQemu,
    fake: { files: { '/proc/self/status': USER } },
    says: /^fail qemu-system-x86_64: .* is not installed/,
  },
  {
    check: kernelFeatures,
    fake: { files: { '/proc/self/status': ROOT }, tools: { 'unshare --net': '' } },
    says: /ok kernel: tun.*\nok kernel: bridge.*\nok kernel: macvtap.*\nok kernel: veth.*\nok kernel: nf_tables/,
  },
  {
    check: kernelFeatures,
    fake: { files: { '/proc/self/status': ROOT } },
    says: /fail kernel: bridge: does not work: .*\nwarn kernel: macvtap: does not work \(needed for --parent-iface only\).*\n.*\nfail kernel: nf_tables/,
  },
  {
    check: kernelFeatures,
    fake: {
      files: { '/proc/self/status': USER, '/sys/module/bridge/': '' },
      daemon: {
        providers: [],
        tools: [
          { name: 'kernel: tun', path: '', is: 'works', found: '', remedy: '' },
          { name: 'kernel: bridge', path: '', is: 'broken', found: 'Unknown device type', remedy: 'reboot' },
        ],
      },
    },
    says: /ok kernel: tun: works, as the daemon finds it\nfail kernel: bridge: Unknown device type, as the daemon finds it/,
  },
  {
    check: kernelFeatures,
    fake: { files: { '/proc/self/status': USER, '/sys/module/bridge/': '' } },
    says: /warn kernel: tun: cannot tell.*\nok kernel: bridge: is loaded/,
  },
  {
    check: ports,
    fake: {
      files: { '/proc/net/tcp6': '  sl\n   0: 00000000000000000000000001000000:2382 0:0 0A 0', '/usr/bin/ss': '' },
      tools: { '/usr/bin/ss': 'LISTEN 0 4096 users:(("prometheus",pid=7,fd=3))' },
    },
    says: /^warn port 9090: is taken by prometheus \(pid 7\)\nok port 8090: is free$/,
  },
  {
    check: ports,
    fake: {
      files: {
        '/proc/net/tcp6': '  sl\n   0: 00000000000000000000000001000000:2382 0:0 0A 0',
        '/usr/bin/ss': '',
        '/proc/7/cmdline': '/n/bin/node\0/usr/lib/node_modules/flintlock/dist/daemon/main.js\0run\0--insecure\0',
      },
      tools: { '/usr/bin/ss': 'LISTEN 0 4096 users:(("MainThread",pid=7,fd=3))' },
    },
    says: /^ok port 9090: is flintlockd's own \(pid 7\)\nok port 8090: is free$/,
  },
  {
    check: ports,
    fake: {
      files: {
        '/proc/net/tcp6': '  sl\n   0: 00000000000000000000000001000000:2382 0:0 0A 0',
        '/usr/bin/ss': '',
        '/proc/7/cmdline': '/n/bin/../node\0/n/bin/../dist/bundle/flintlockd.cjs\0run\0--insecure\0',
      },
      tools: { '/usr/bin/ss': 'LISTEN 0 4096 users:(("MainThread",pid=7,fd=3))' },
    },
    says: /^ok port 9090: is flintlockd's own \(pid 7\)\nok port 8090: is free$/,
  },
  // the same port, connected and not listening
  { check: ports, fake: { files: { '/proc/net/tcp': ' 0: 0100007F:2382 0:0 01 0' } }, says: /^ok port 9090/ },
  {
    check: directories,
    fake: { files: { '/proc/self/status': ROOT, '/var/lib/flintlock/': '', '/run/': '' }, tools: { test: '' } },
    says: /^ok state directory: .*is writable\nok run directory: \/run\/flintlock can be made$/,
  },
  {
    check: directories,
    fake: { files: { '/proc/self/status': ROOT, '/var/lib/flintlock': '', '/run/': '' } },
    says: /^fail state directory: \/var\/lib\/flintlock is no directory\nfail run directory: \/run is not writable/,
  },
  {
    check: disk,
    fake: { files: { '/var/': '' }, free: 2 ** 20 },
    says: /^fail disk: 0\.0 GiB and 1048576 inodes free below \/var$/,
  },
  { check: disk, fake: { free: 2 ** 30 }, says: /^warn disk: 1\.0 GiB/ },
  { check: disk, fake: {}, says: /^ok disk/ },
  { check: disk, fake: { inodes: 3 }, says: /^fail disk: 1024\.0 GiB and 3 inodes/ },
  { check: disk, fake: { inodes: 3_000 }, says: /^warn disk/ },
  { check: disk, fake: { inodes: Number.POSITIVE_INFINITY }, says: /^ok disk: 1024\.0 GiB free/ },
  { check: copies, fake: { tools: { stat: 'btrfs\n' } }, says: /^ok .*reflink/ },
  { check: copies, fake: { tools: { stat: 'ext2/ext3\n' } }, says: /^ok .*qcow2 overlay/ },
  { check: copies, fake: { tools: { stat: 'tmpfs\n' } }, says: /^warn .*in memory/ },
  { check: memory, fake: { files: { '/proc/meminfo': 'MemTotal: 524288 kB\n' } }, says: /^fail memory: 512 MiB/ },
  {
    check: memory,
    fake: { files: { '/proc/meminfo': 'MemTotal: 4194304 kB\nMemAvailable: 102400 kB\n' } },
    says: /^warn memory: 4096 MiB, 100 MiB available now; 3584 MiB can be promised/,
  },
  {
    check: memory,
    fake: {
      files: { '/proc/meminfo': 'MemTotal: 4194304 kB\nMemAvailable: 3102400 kB\n' },
      daemon: { tools: [], providers: [], capacity: { memoryInMb: 1_024, notes: ['memory: the limit of cgroup /x'] } },
    },
    says: /^ok memory: 4096 MiB, .*; 512 MiB can be promised to VMs; memory: the limit of cgroup \/x$/,
  },
  { check: cgroups, fake: { files: V2 }, says: /^ok cgroups: version 2 with cpu, memory, pids/ },
  {
    check: cgroups,
    fake: { files: { ...V2, '/sys/fs/cgroup/cgroup.controllers': 'cpu' } },
    says: /^warn .*without memory and pids/,
  },
  {
    check: cgroups,
    fake: { files: { ...V2, '/sys/fs/cgroup/cgroup.type': 'domain', '/sys/fs/cgroup/cgroup.procs': '1' } },
    says: /^warn .*processes are in the topmost cgroup/,
  },
  {
    check: cgroups,
    fake: { files: { '/proc/self/mountinfo': '1 2 0:3 / /m rw - cgroup c rw,memory,pids' } },
    says: /^ok cgroups: version 1 with memory, pids/,
  },
  {
    check: cgroups,
    fake: { files: { '/proc/self/mountinfo': '1 2 0:3 / /m ro - cgroup c rw,memory' } },
    says: /^warn cgroups: \/m is mounted read-only: VMMs run without limits/,
  },
  { check: cgroups, fake: {}, says: /^warn cgroups: no memory controller is mounted/ },
  {
    check: network,
    fake: {
      files: { '/proc/self/status': ROOT },
      tools: {
        'ip -j -4 route':
          '[{"dst":"default","dev":"eth0"},{"dst":"10.77.0.0/16","dev":"vpn0"},{"dst":"10.78.0.0/24","dev":"flabcdbr"}]',
        'ip -j link':
          '[{"ifname":"docker0"},{"ifname":"flabcdbr","ifalias":"flintlock:abcd:bridge"},{"ifname":"floatsbr"},{}]',
        'ss -lnuH': 'UNCONN 0 0 0.0.0.0%flabcdbr:67 0.0.0.0:*\nUNCONN 0 0 0.0.0.0%lxcbr0:67 0.0.0.0:*',
        'nft -j':
          '{"nftables":[{"metainfo":{}},{"chain":{"family":"ip","table":"filter","name":"FORWARD","hook":"forward","policy":"accept"}}]}',
      },
    },
    says: /^ok managed network: 10\.77\.0\.0\/24 meets a route of the host; 10\.78\.0\.0\/24 is free\nok bridges: docker0, floatsbr, which .*; flabcdbr of flintlockd\nok other firewalls: none.*\nok DHCP: flintlockd's own serves its bridge; another serves lxcbr0 only/,
  },
  {
    check: network,
    fake: {
      files: {
        '/proc/self/status': ROOT,
        '/proc/sys/net/bridge/bridge-nf-call-iptables': '1\n',
      },
      tools: {
        'ip -j -4 route': '[{"dst":"10.0.0.0/8","dev":"vpn0"}]',
        'ip -j link': '[]',
        'ss -lnuH': 'UNCONN 0 0 0.0.0.0%flabcdbr:67 0.0.0.0:*\nUNCONN 0 0 0.0.0.0:67 0.0.0.0:*',
        'nft -j':
          '{"nftables":[{"chain":{"family":"ip","table":"filter","name":"FORWARD","hook":"forward","policy":"drop"}},{"chain":{"family":"ip","table":"filter","name":"DOCKER-USER"}}]}',
      },
    },
    says: /^fail managed network: every network.*\nwarn bridges: no others; frames between.*\nwarn other firewalls: the chain ip filter FORWARD drops.*\nwarn DHCP: a server listens/,
  },
  {
    check: network,
    fake: {
      tools: { 'ip -j -4 route': '[{"dst":"10.90.0.0/24","dev":"flabcdbr"},{"dst":"10.77.0.0/24","dev":"vpn0"}]' },
      daemon: { tools: [], providers: [], network: { bridge: 'flabcdbr', cidr: '10.90.0.0/24' } },
    },
    says: /^ok managed network: 10\.90\.0\.0\/24, as the daemon has it, meets no route\n/,
  },
  {
    check: network,
    fake: {
      tools: { 'ip -j -4 route': '[{"dst":"10.90.0.0/24","dev":"flabcdbr"},{"dst":"10.90.0.0/16","dev":"vpn0"}]' },
      daemon: { tools: [], providers: [], network: { bridge: 'flabcdbr', cidr: '10.90.0.0/24' } },
    },
    says: /^warn managed network: .* meets the host's route 10\.90\.0\.0\/16 dev vpn0\n/,
  },
  {
    check: network,
    fake: {
      tools: { 'ip -j -4 route': '[]' },
      daemon: { tools: [], providers: [], network: { bridge: 'flabcdbr', cidr: '' } },
    },
    says: /^ok managed network: the daemon that runs has none\n/,
  },
  {
    // A name like one of ours, of somebody else's bridge.
    check: network,
    fake: {
      tools: {
        'ip -j -4 route': '[{"dst":"10.77.0.0/24","dev":"flfoobbr"}]',
        'ip -j link': '[{"ifname":"flfoobbr","ifalias":"foo"}]',
        'ss -lnuH': 'UNCONN 0 0 0.0.0.0%flfoobbr:67 0.0.0.0:*',
      },
    },
    says: /^ok managed network: 10\.77\.0\.0\/24 meets a route.*\nok bridges: flfoobbr, which a daemon may use[^;]*\n(?:.*\n)*ok DHCP: another serves flfoobbr only/,
  },
  {
    check: network,
    fake: { files: { '/proc/self/status': USER } },
    says: /\nok other firewalls: only root can see them\n/,
  },
  { check: forwarding, fake: { files: { '/proc/sys/net/ipv4/ip_forward': '0\n' } }, says: /^ok .*is off/ },
])('$says', async ({ check, fake, says }) => {
  expect((await verdicts(check, fake)).join('\n')).toMatch(says);
});

test('every finding that is not ok has a fix', async () => {
  const results = await examine(fakeHost({ files: { '/proc/self/status': CAGED_ROOT } }));
  const bad = results.filter(({ status }) => status !== 'ok');
  expect(bad.length).toBeGreaterThan(12);
  for (const result of bad) expect(result, result.name).toMatchObject({ fix: expect.stringMatching(/\w/) });
});

test('a check that breaks is a failed result, and does not stop the others', async () => {
  const fine: Result = { name: 'fine', status: 'ok', found: 'is fine', fix: '' };
  const results = await examine(fakeHost({}), [
    { name: 'broken', examine: () => Promise.reject(new Fault('tool', 'it broke')) },
    { name: 'fine', examine: async () => [fine] },
  ]);
  expect(results).toMatchObject([{ name: 'broken', status: 'fail', found: 'could not be checked: it broke' }, fine]);
});

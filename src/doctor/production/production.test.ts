import { expect, test } from 'vitest';
import { type Fake, fakeHost } from '../../../test/support/fake-check-host.ts';
import type { Check } from '../check.ts';
import { boundary, limits } from './boundary.ts';
import { cpuFlaws, microcode } from './cpu-flaws.ts';
import { kernelConsole } from './kernel-console.ts';
import { kernelSettings } from './kernel-settings.ts';
import { memoryErrors } from './memory-errors.ts';
import { nesting } from './nesting.ts';
import { pageSharing } from './page-sharing.ts';
import { PRODUCTION_CHECKS } from './production.ts';
import { swap } from './swap.ts';
import { threads } from './threads.ts';

const FLAWS = '/sys/devices/system/cpu/vulnerabilities';
const SWAPS = 'Filename\tType\tSize\tUsed\tPriority';
const KVM = { files: { '/proc/cpuinfo': 'flags : fpu svm', '/dev/kvm': '' }, tools: { test: '' } };
const V2 = {
  '/proc/self/mountinfo': '1 2 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw',
  '/sys/fs/cgroup/cgroup.controllers': 'cpu memory pids',
};
/** One that uses what brings a row of its own, with these words for what it can do. */
const withDaemon = (capabilities: readonly string[]): Fake => ({
  daemon: {
    tools: [],
    providers: [{ name: 'firecracker', program: '/f', version: '1.12.1', available: true, why: '', capabilities }],
  },
});
const jail = PRODUCTION_CHECKS.find(({ name }) => name === 'jail') ?? boundary;
const flaws = (all: Readonly<Record<string, string>>): Fake => ({
  files: {
    [`${FLAWS}/`]: '',
    ...Object.fromEntries(Object.entries(all).map(([name, says]) => [`${FLAWS}/${name}`, says])),
  },
});

test.for<[Check, Fake, RegExp]>([
  [boundary, {}, /^fail .*software emulation, which its makers do not call a security boundary$/],
  [boundary, KVM, /^ok .*under KVM \(svm/],
  [limits, {}, /^fail .*no memory controller/],
  [limits, { files: V2 }, /^ok .*version 2 with cpu memory pids|^ok .*version 2 with cpu, memory, pids/],
  [jail, {}, /^ok .*not used on this host/],
  [jail, withDaemon(['pause']), /^warn .*in no jail/],
  [jail, withDaemon(['pause', 'jail']), /^ok .*sees nothing of the host/],
  [pageSharing, {}, /^ok .*no KSM/],
  [pageSharing, { files: { '/sys/kernel/mm/ksm/run': '0' } }, /^ok .*KSM is off/],
  [pageSharing, { files: { '/sys/kernel/mm/ksm/run': '2\n' } }, /^ok .*KSM is off/],
  [pageSharing, { files: { '/sys/kernel/mm/ksm/run': '1\n' } }, /^fail .*KSM is on/],
  [threads, {}, /^warn .*does not tell/],
  [threads, { files: { '/sys/devices/system/cpu/smt/active': '0' } }, /^ok .*SMT is off/],
  [threads, { files: { '/sys/devices/system/cpu/smt/active': '1' } }, /^fail .*SMT is on/],
  [swap, {}, /^ok .*there is none/],
  [swap, { files: { '/proc/swaps': SWAPS } }, /^ok .*there is none/],
  [swap, { files: { '/proc/swaps': `${SWAPS}\n/dev/sda2 partition 1 0 -2` } }, /^fail .*written to \/dev\/sda2$/],
  [swap, { files: { '/proc/swaps': `${SWAPS}\n/swapfile file 1 0 -2` } }, /^fail .*written to \/swapfile$/],
  [swap, { files: { '/proc/swaps': `${SWAPS}\n/dev/zram0 partition 1 0 100` } }, /^ok .*only \/dev\/zram0/],
  [
    swap,
    { files: { '/proc/swaps': `${SWAPS}\n/dev/zram0 partition 1 0 100`, '/sys/block/zram0/backing_dev': '/dev/sda3' } },
    /^fail .*written to \/dev\/zram0$/,
  ],
  [
    swap,
    {
      files: {
        '/proc/swaps': `${SWAPS}\n/dev/dm-1 partition 1 0 -2\n/dev/dm-2 partition 1 0 -3`,
        '/sys/block/dm-1/dm/uuid': 'CRYPT-PLAIN-swap',
        '/sys/block/dm-2/dm/uuid': 'LVM-abc',
      },
    },
    /^fail .*written to \/dev\/dm-2$/,
  ],
  [nesting, {}, /^ok /],
  [nesting, { files: { '/sys/module/kvm_amd/parameters/nested': '0' } }, /^ok /],
  [nesting, { files: { '/sys/module/kvm_intel/parameters/nested': 'Y' } }, /^warn .*kvm_intel lets guests be hosts/],
  [cpuFlaws, {}, /^warn .*tells nothing/],
  [cpuFlaws, flaws({ meltdown: 'Not affected', spectre_v1: 'Mitigation: usercopy' }), /^ok .*2 are known, none/],
  [cpuFlaws, flaws({ mds: 'Mitigation: Clear CPU buffers; SMT vulnerable' }), /^fail .*mds \(Mitigation/],
  [cpuFlaws, flaws({ itlb_multihit: 'KVM: Vulnerable' }), /^fail .*itlb_multihit/],
  [cpuFlaws, flaws({ old_microcode: 'Vulnerable' }), /^ok /],
  [microcode, {}, /^warn .*does not tell/],
  [microcode, flaws({ old_microcode: 'Vulnerable' }), /^fail .*older than/],
  [microcode, flaws({ old_microcode: 'Not affected' }), /^ok /],
  [kernelSettings, {}, /^ok /],
  [kernelSettings, { files: { '/proc/cmdline': 'quiet mitigations=off nokaslr' } }, /^fail .*mitigations=off nokaslr$/],
  [kernelSettings, { files: { '/proc/cmdline': 'mitigations=auto,nosmt' } }, /^ok /],
  [kernelSettings, { files: { '/proc/sys/kernel/dmesg_restrict': '0' } }, /^warn /],
  [kernelSettings, { files: { '/proc/sys/kernel/unprivileged_bpf_disabled': '2' } }, /^ok /],
  [memoryErrors, {}, /^warn .*\(ECC\)/],
  [
    memoryErrors,
    { files: { '/sys/devices/system/edac/mc/': '', '/sys/devices/system/edac/mc/mc0': '' } },
    /^ok .*watches 1 memory/,
  ],
  [kernelConsole, {}, /^ok /],
  [
    kernelConsole,
    { files: { '/proc/sys/kernel/printk': '7\t4\t1\t7', '/proc/consoles': 'ttyS0 -W- (EC a) 4:64' } },
    /^warn .*level 7\) to ttyS0/,
  ],
  [kernelConsole, { files: { '/proc/sys/kernel/printk': '7 4 1 7', '/proc/consoles': 'tty0 -WU (EC p) 4:1' } }, /^ok /],
])('$0.name $#', async ([check, fake, says]) => {
  const results = await check.examine(fakeHost(fake));
  expect(results).toHaveLength(1);
  const [result] = results;
  expect(`${result?.status} ${result?.name}: ${result?.found}`).toMatch(says);
  // What is not well has a remedy, and only that.
  expect(result?.fix !== '').toBe(result?.status !== 'ok');
});

import { makeImage } from '../../guest/make-image.ts';
import { idleKernel } from '../faults/idle-kernel.ts';
import { flagsOf, TRIED } from '../kvm/providers.ts';
import { ANY_KERNEL, type SpecInit, type TestHost } from '../support/daemon.ts';
import { STAND_INS, type StandInHost, standInHost } from '../support/stand-in-providers.ts';

/** A provider that the contract is held to, with a real program and real guests, or with a stand-in that has none. */
export interface Member {
  readonly name: string;
  readonly by: 'its program' | 'a stand-in';
  /** The daemon's flags, where no stand-in has them. */
  readonly flags: readonly string[];
  /** A microVM whose guest says what it sees, and does what is typed: see `GUEST`. */
  spec(host: TestHost, id: string): SpecInit;
}

/** A real program is named where the distribution has none: it needs KVM, too. */
export const MEMBERS: readonly Member[] = TRIED.map((tried): Member => {
  const { name } = tried;
  const isStoodInFor = STAND_INS.some((one) => one.name === name) && !process.env[tried.by?.variable ?? ''];
  if (isStoodInFor) return { name, by: 'a stand-in', flags: [], spec: idleSpec };
  return { name, by: 'its program', flags: flagsOf(tried, process.env), spec: realSpec };
});

/** Reboot and power-off a shell has. */
const PANIC = `#!/bin/sh
echo c >/proc/sysrq-trigger
`;

/**
 * As the stand-ins' guests: `ask PATH` asks for metadata, once it has an address by which it can. Not with wget's own limit of time: that of Debian 12's
 * busybox ends by a segmentation fault.
 */
const ASK = `#!/bin/sh
echo "mmds says: $(timeout 10 wget -q -O - "http://169.254.169.254$1" 2>&1 | tr '\\n' ' ')"
`;

/** The host's part for a member with a stand-in. */
export const standInsFor = ({ by }: Member): StandInHost | undefined =>
  by === 'a stand-in' ? standInHost() : undefined;

/** As the stand-ins' guests: what it sees, a line each. The shell beside it does what is typed. */
const GUEST = `#!/bin/sh
for disk in $(ls /sys/block); do
  case $disk in vd*) echo "disk $disk ro=$(cat /sys/block/$disk/ro) sectors=$(cat /sys/block/$disk/size)" ;; esac
done
for nic in eth0 eth1; do echo "nic $nic mac=$(cat /sys/class/net/$nic/address)"; done
echo "guest: up cpus=$(nproc)"
`;

const volumesOf = (root: string, other: string): SpecInit['volumes'] & object => [
  { id: 'root', isRoot: true, sizeInMb: 24, source: { containerSource: root } },
  { id: 'fixed', isReadOnly: true, sizeInMb: 16, source: { containerSource: other } },
  { id: 'data', sizeInMb: 20, source: { containerSource: other } },
];

const nics = (): SpecInit['interfaces'] & object => [
  { guestDeviceName: 'eth0', type: 1, guestMac: '02:00:00:00:0c:01' },
  { guestDeviceName: 'eth1', type: 1, guestMac: '02:00:00:00:0c:02' },
];

function realSpec({ images }: TestHost, id: string): SpecInit {
  const root = makeImage({
    ...{ layout: `${images}/contract`, tag: 'root', demo: true },
    files: {
      '/etc/flintlock/run': { mode: 0o755, content: GUEST },
      '/bin/panic': { mode: 0o755, content: PANIC },
      '/bin/ask': { mode: 0o755, content: ASK },
    },
  });
  const other = makeImage({ layout: `${images}/contract`, tag: 'data', files: { '/here': 'data' } });
  return {
    ...{ id, vcpu: 1, memoryInMb: 128, kernel: { image: ANY_KERNEL, cmdline: 'quiet' }, initrd: { image: ANY_KERNEL } },
    ...{ volumes: volumesOf(root, other), interfaces: nics() },
  };
}

function idleSpec({ images }: TestHost, id: string): SpecInit {
  const image = makeImage({
    ...{ layout: `${images}/contract`, tag: 'idle', files: { '/boot/vmlinux': idleKernel() } },
  });
  return {
    ...{ id, vcpu: 1, memoryInMb: 128, kernel: { image } },
    ...{ volumes: volumesOf(image, image), interfaces: nics() },
  };
}

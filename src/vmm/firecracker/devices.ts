import { Fault } from '../../domain/fault.ts';
import type { Files, Run } from '../../ports/host.ts';
import { asUser } from './argv.ts';

/** What a Firecracker that is not root can do with the host's devices. */
export interface DeviceLook {
  /** Those that its user must be in, by number. */
  readonly groups: readonly number[];
  /** A sentence, with the remedy; absent: they can be used. */
  readonly why?: string;
}

interface Hands {
  readonly run: Run;
  readonly files: Pick<Files, 'read' | 'stat'>;
  readonly signal: AbortSignal;
}

const KVM = '/dev/kvm';
const TUN = '/dev/net/tun';
/** Any but root's that is not a microVM's. */
const NOBODY = 65_534;
const LOOK_MS = 30_000;
const READ_WRITE = 0o6;

/**
 * Opens them, and has KVM make a virtual machine: a node that may be opened can still lead nowhere.
 * @see https://docs.kernel.org/virt/kvm/api.html KVM_GET_API_VERSION, KVM_CREATE_VM
 */
const TRY = `
sub told { my ($name, $why) = @_; print "$name: $why\\n" }
if (!open(my $kvm, "+<", "${KVM}")) { told("kvm", "cannot open it: $!") }
elsif (!defined(my $version = ioctl($kvm, 0xAE00, 0))) { told("kvm", "it does not tell its version: $!") }
elsif ($version != 12) { told("kvm", "its version is $version and not 12") }
elsif (!defined(ioctl($kvm, 0xAE01, 0))) { told("kvm", "it makes no virtual machine: $!") }
else { told("kvm", "ok") }
told("tun", open(my $tun, "+<", "${TUN}") ? "ok" : "cannot open it: $!");
`;

/** Tries the devices that Firecracker opens itself, as a user who is not root. Never rejects but with a bug. */
export async function lookAtDevices({ run, files, signal }: Hands): Promise<DeviceLook> {
  const kvm = await files.stat(KVM);
  const cpu = Buffer.from((await files.read('/proc/cpuinfo')) ?? []).toString();
  const virtualises = /^flags\s*:.*\b(?:vmx|svm)\b/m.test(cpu);
  if (!kvm) {
    const why = virtualises
      ? `There is no ${KVM}: load kvm_intel or kvm_amd ('modprobe')`
      : `There is no ${KVM}, and the CPU does not virtualise here: turn it on in the firmware, or let the host of this host nest`;
    return { groups: [], why: `Firecracker needs KVM. ${why}` };
  }
  const groups = new Set<number>();
  for (const path of [KVM, TUN]) {
    const node = path === KVM ? kvm : await files.stat(path);
    if (!node) return { groups: [], why: `Firecracker needs ${path}, and it is not there: load tun ('modprobe tun')` };
    const isForAll = (node.mode & READ_WRITE) === READ_WRITE;
    const isForGroup = ((node.mode >> 3) & READ_WRITE) === READ_WRITE;
    // The group of root is nobody's to be in.
    if (!isForAll && isForGroup && node.owner && node.owner.group !== 0) groups.add(node.owner.group);
  }
  const found = { groups: [...groups] };
  try {
    const told = await run([...asUser(NOBODY, found.groups), 'perl', '-e', TRY], { signal, timeoutMs: LOOK_MS });
    const why = whyNot(told, virtualises);
    return why === undefined ? found : { ...found, why };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { ...found, why: `Whether Firecracker can use ${KVM} and ${TUN} cannot be tried: ${error.message}` };
  }
}

const REMEDIES = {
  kvm: `'chgrp kvm ${KVM} && chmod 660 ${KVM}', as udev does`,
  tun: `'chmod 666 ${TUN}', as udev does`,
} as const;

/** @param told - what {@link TRY} wrote */
function whyNot(told: string, virtualises: boolean): string | undefined {
  for (const [name, path] of [
    ['kvm', KVM],
    ['tun', TUN],
  ] as const) {
    const words = new RegExp(`^${name}: (.*)$`, 'm').exec(told)?.[1] ?? 'nothing was told of it';
    if (words === 'ok') continue;
    if (/Permission denied/.test(words))
      return `Firecracker runs as a user of its own, who may not open ${path} (${words}): ${REMEDIES[name]}`;
    const cpu =
      name === 'kvm' && !virtualises
        ? '; the CPU does not virtualise here: neither vmx nor svm is among its flags'
        : '';
    return `Firecracker cannot use ${path}: ${words}${cpu}`;
  }
  return undefined;
}

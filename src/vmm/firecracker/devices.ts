import { Fault } from '../../domain/fault.ts';
import type { FileInfo, Files, Run } from '../../ports/host.ts';
import { virtualisationOf } from '../../tools/virtualisation.ts';
import { asUser } from './argv.ts';
import { AS_JAILED } from './jail-perl.ts';

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

/** What is believed of /dev/kvm: what is found by trying, or that it serves these guests. */
export const KVM_CHOICES = ['auto', 'trust'] as const;
export type KvmChoice = (typeof KVM_CHOICES)[number];

/**
 * Looks at the devices that Firecracker opens itself, and tries them as a user who is not root. Never rejects but with a bug.
 * @param kvm - `trust`: they are not tried
 * @param isJailed - it has nodes of its own, whatever the modes of the host's are
 */
export async function lookAtDevices({
  run,
  files,
  signal,
  kvm,
  isJailed = false,
}: Hands & { readonly kvm: KvmChoice; readonly isJailed?: boolean }): Promise<DeviceLook> {
  const nodes = new Map([
    [KVM, await files.stat(KVM)],
    [TUN, await files.stat(TUN)],
  ]);
  const groups = isJailed ? [] : [...new Set([...nodes.values()].flatMap((node) => groupOf(node) ?? []))];
  const why =
    kvm === 'trust'
      ? undefined
      : ((await whyNotThere(nodes, files)) ?? (await whyInVain(trialOf(groups, isJailed), run, signal)));
  return { groups, ...(why !== undefined && { why }) };
}

/** The one group, beside all users, that may open it. */
function groupOf(node: FileInfo | undefined): number | undefined {
  if (!node?.owner) return undefined;
  const isForAll = (node.mode & READ_WRITE) === READ_WRITE;
  const isForGroup = ((node.mode >> 3) & READ_WRITE) === READ_WRITE;
  // The group of root is nobody's to be in.
  return !isForAll && isForGroup && node.owner.group !== 0 ? node.owner.group : undefined;
}

async function whyNotThere(
  nodes: ReadonlyMap<string, FileInfo | undefined>,
  files: Pick<Files, 'read'>,
): Promise<string | undefined> {
  const cpu = Buffer.from((await files.read('/proc/cpuinfo')) ?? []).toString();
  const isThere = nodes.get(KVM) ? `There is a ${KVM}, and it runs no ordinary guest` : `There is no ${KVM}`;
  if (virtualisationOf(cpu) === undefined)
    return `Firecracker needs KVM. ${isThere}: the CPU does not virtualise here, neither vmx nor svm is among its flags. Turn it on in the firmware, have this host's own host nest, or if this KVM needs neither, give --firecracker-kvm trust`;
  if (!nodes.get(KVM)) return `Firecracker needs KVM. ${isThere}: load kvm_intel or kvm_amd ('modprobe kvm_intel')`;
  return nodes.get(TUN) ? undefined : `Firecracker needs ${TUN}, and it is not there: load tun ('modprobe tun')`;
}

const trialOf = (groups: readonly number[], isJailed: boolean): readonly [string, ...string[]] =>
  isJailed
    ? ['perl', '-e', `${AS_JAILED}${TRY}`, '--', String(NOBODY)]
    : [...asUser(NOBODY, groups), 'perl', '-e', TRY];

async function whyInVain(
  trial: readonly [string, ...string[]],
  run: Run,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    return whyNot(await run(trial, { signal, timeoutMs: LOOK_MS }));
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return `Whether Firecracker can use ${KVM} and ${TUN} cannot be tried: ${error.message}`;
  }
}

const REMEDIES = {
  kvm: `'chgrp kvm ${KVM} && chmod 660 ${KVM}', as udev does`,
  tun: `'chmod 666 ${TUN}', as udev does`,
} as const;

/** @param told - what {@link TRY} wrote */
function whyNot(told: string): string | undefined {
  for (const [name, path] of [
    ['kvm', KVM],
    ['tun', TUN],
  ] as const) {
    const words = new RegExp(`^${name}: (.*)$`, 'm').exec(told)?.[1] ?? 'nothing was told of it';
    if (words === 'ok') continue;
    if (/Permission denied/.test(words))
      return `Firecracker runs as a user of its own, who may not open ${path} (${words}): ${REMEDIES[name]}`;
    return `Firecracker cannot use ${path}: ${words}`;
  }
  return undefined;
}

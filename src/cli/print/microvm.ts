import {
  type MicroVM,
  type MicroVMStatus,
  MicroVMStatus_MicroVMState,
  MicroVMStatus_MicroVMStateSchema,
  type NetworkInterface,
  type Progress,
} from '../../gen/types/microvm_pb.ts';
import type { Colour } from './style.ts';
import { bytesText, millisOf, secondsText } from './units.ts';

/** `namespace/id`: what every verb takes. */
export const nameOf = (vm: MicroVM): string => `${vm.spec?.namespace || 'default'}/${vm.spec?.id ?? ''}`;

export const uidOf = (vm: MicroVM): string => vm.spec?.uid ?? '';

/** A state of a newer daemon is shown as its number. */
export function stateOf(status: MicroVMStatus | undefined): string {
  const state = status?.state ?? MicroVMStatus_MicroVMState.PENDING;
  return MicroVMStatus_MicroVMStateSchema.values.find((value) => value.number === state)?.name ?? String(state);
}

export function colourOf(state: string): Colour | undefined {
  if (state === 'CREATED') return 'green';
  if (state === 'FAILED') return 'red';
  return state === 'PENDING' || state === 'DELETING' ? 'yellow' : undefined;
}

export const isFailed = (vm: MicroVM | undefined): boolean => vm?.status?.state === MicroVMStatus_MicroVMState.FAILED;

/** What the guest's interfaces were given, in the order of the spec. */
export function addressesOf(vm: MicroVM): string[] {
  const statuses = vm.status?.networkInterfaces ?? {};
  const named = (vm.spec?.interfaces ?? []).map(({ guestDeviceName }) => guestDeviceName);
  return [...new Set([...named, ...Object.keys(statuses)])].flatMap((name) => statuses[name]?.addresses ?? []);
}

/** `8080->80/tcp`, or with the address that is published before it; in the order of the spec. */
export const portsOf = ({ publishedPorts }: Pick<NetworkInterface, 'publishedPorts'>): string[] =>
  publishedPorts.map(
    ({ hostIp, hostPort, guestPort, protocol }) =>
      `${hostIp && `${hostIp}:`}${hostPort}->${guestPort}/${protocol || 'tcp'}`,
  );

/** The image of the root volume; without one the kernel's. */
export function imageOf(vm: MicroVM): string {
  const root = vm.spec?.volumes.find((volume) => volume.isRoot) ?? vm.spec?.volumes[0];
  return root?.source?.containerSource || (vm.spec?.kernel?.image ?? '');
}

/** `image 12.3 MiB of 45.6 MiB, 3.1 s` */
export function progressText(progress: Progress, now: number): string {
  const { step, doneBytes, totalBytes } = progress;
  const since = millisOf(progress.since);
  const parts = [step];
  if (totalBytes > 0n) parts.push(`${bytesText(doneBytes)} of ${bytesText(totalBytes)}`);
  else if (doneBytes > 0n) parts.push(bytesText(doneBytes));
  return since === undefined ? parts.join(' ') : `${parts.join(' ')}, ${secondsText(now - since)}`;
}

/** What is not known, or known to have failed, of what only the guest can do; empty where all is well. */
export function unconfiguredText({ status }: MicroVM): string {
  const found = status?.conditions.find(({ type }) => type === 'GuestConfigured');
  return !found || found.status === 'True' ? '' : `GuestConfigured is ${found.status}: ${found.message}`;
}

/** Where nothing was seen of the guest: that, and what to try; empty where all is well or nothing is known yet. */
export function lifelessText({ status }: MicroVM): string {
  const found = status?.conditions.find(({ type }) => type === 'GuestAlive');
  return found?.status === 'False' ? `GuestAlive is False: ${found.message}` : '';
}

/** Why a microVM is in its state, in one line: `PENDING (Preparing): image 12 MiB of 45 MiB, 3.1 s`. */
export function situationText(vm: MicroVM, now: number): string {
  const { status } = vm;
  const reason = status?.reason ? ` (${status.reason})` : '';
  const what = status?.progress ? progressText(status.progress, now) : (status?.message ?? '');
  const next = millisOf(status?.nextRetryAt);
  const again =
    next !== undefined && next > now ? `; attempt ${(status?.retry ?? 0) + 1} in ${secondsText(next - now)}` : '';
  return `${stateOf(status)}${reason}${what ? `: ${what}` : ''}${again}`;
}

import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  type MicroVMSpec,
  type NetworkInterface,
  NetworkInterface_IfaceType,
  type NetworkInterfaceSchema,
} from '../../src/gen/types/microvm_pb.ts';
import type { SpecInit } from '../support/daemon.ts';
import type { Images } from './images.ts';
import { judged, type Seeing, type Seen } from './row.ts';

/** Fields of a spec, as a literal. */
export type SpecFields = Exclude<SpecInit, MicroVMSpec>;

/** A root that reports, a kernel with its initrd, no interface. */
export function reporting(images: Images, change: SpecFields = {}): SpecFields {
  return {
    vcpu: 1,
    memoryInMb: 128,
    kernel: { image: images.anyKernel, cmdline: 'quiet' },
    // Each kernel's own has the modules that it needs.
    initrd: { image: [undefined, images.anyKernel].includes(change.kernel?.image) ? images.anyKernel : images.kernel },
    volumes: [rootVolume(images)],
    ...change,
  };
}

export const rootVolume = (images: Images, change: object = {}) => ({
  id: 'root',
  isRoot: true,
  source: { containerSource: images.root },
  ...change,
});

export const dataVolume = (id: string, image: string, change: object = {}) => ({
  id,
  source: { containerSource: image },
  ...change,
});

export const tap = (
  guestDeviceName: string,
  change: Exclude<MessageInitShape<typeof NetworkInterfaceSchema>, NetworkInterface> = {},
) => ({ guestDeviceName, type: NetworkInterface_IfaceType.TAP, ...change });

export const macvtap = (
  guestDeviceName: string,
  change: Exclude<MessageInitShape<typeof NetworkInterfaceSchema>, NetworkInterface> = {},
) => ({ guestDeviceName, type: NetworkInterface_IfaceType.MACVTAP, ...change });

/** Of what shows only in the record: that the guest it is about did boot. */
export function booted({ report }: Seen): Seeing {
  const id = report.text('boot_id');
  return judged(id !== 'nothing', id === 'nothing' ? id : 'booted');
}

/** The words of the guest's kernel command line. */
export const cmdline = ({ report }: Seen): readonly string[] => report.text('cmdline').split(' ');

/** Those of some keys, in the kernel's order. */
export const wordsOf = (seen: Seen, ...keys: readonly string[]): string =>
  cmdline(seen)
    .filter((word) => keys.includes(word.split('=')[0] ?? ''))
    .join(' ');

import { lacksOf } from '../../domain/capabilities.ts';
import type { Violation } from '../../domain/fault.ts';
import { COMMAND_LINE_BYTES, commandLineLacks } from '../../domain/kernel-cmdline.ts';
import { metadataBy } from '../../domain/metadata-ways.ts';
import type { Spec } from '../../domain/spec.ts';
import { CAPABILITIES, OWN_DEVICES } from './capabilities.ts';
import { commandLine } from './cmdline.ts';
import { checkOptions } from './options.ts';

/** What Firecracker puts behind the command line: ` pci=off`. */
const APPENDED_BYTES = 8;
/** And for each device one ` virtio_mmio.device=4K@0xc0001000:5`. */
const DEVICE_BYTES = 40;

/**
 * What of a spec Firecracker cannot do.
 * @param guestWords - each as long as it will be
 */
export function violationsOf(spec: Spec, guestWords: readonly string[] = []): readonly Violation[] {
  const line = commandLine({
    cmdline: spec.kernel.cmdline,
    guestWords,
    disks: spec.volumes.map(({ isRoot, isReadOnly, partitionId }) => ({
      ...{ isRoot, readOnly: isReadOnly },
      ...(partitionId !== undefined && { partitionUuid: partitionId }),
    })),
  });
  const devices = spec.volumes.length + (metadataBy(spec).disk ? 1 : 0) + spec.interfaces.length + OWN_DEVICES;
  return [
    ...checkOptions(spec),
    ...lacksOf(spec, CAPABILITIES),
    ...commandLineLacks(line, guestWords, COMMAND_LINE_BYTES - APPENDED_BYTES - devices * DEVICE_BYTES),
  ];
}

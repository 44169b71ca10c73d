import { wantsAgent } from '../../domain/agent-report.ts';
import { lacksOf } from '../../domain/capabilities.ts';
import type { Violation } from '../../domain/fault.ts';
import { COMMAND_LINE_BYTES, commandLineLacks } from '../../domain/kernel-cmdline.ts';
import type { KernelFacts } from '../../domain/kernel-facts.ts';
import { metadataBy } from '../../domain/metadata-ways.ts';
import type { Spec } from '../../domain/spec.ts';
import { unplacedAgent } from '../supervisor/agent-place.ts';
import { CAPABILITIES, DEVICES_BESIDE_AGENT, OWN_DEVICES } from './capabilities.ts';
import { commandLine } from './cmdline.ts';
import { checkOptions } from './options.ts';
import { isFrom, type Version, WITH_BZIMAGE } from './version.ts';

/** What Firecracker puts behind the command line: ` pci=off`. */
const APPENDED_BYTES = 8;
/** And for each device one ` virtio_mmio.device=4K@0xc0001000:5`. */
const DEVICE_BYTES = 40;

/**
 * What of a spec Firecracker cannot do.
 * @param guestWords - each as long as it will be
 * @param known - `kernel`: absent: it is not known yet; `version`: of the program, absent likewise
 */
export function violationsOf(
  spec: Spec,
  guestWords: readonly string[] = [],
  { kernel, version }: { readonly kernel?: KernelFacts | undefined; readonly version?: Version | undefined } = {},
): readonly Violation[] {
  const line = commandLine({
    cmdline: spec.kernel.cmdline,
    guestWords,
    disks: spec.volumes.map(({ isRoot, isReadOnly, partitionId }) => ({
      ...{ isRoot, readOnly: isReadOnly },
      ...(partitionId !== undefined && { partitionUuid: partitionId }),
    })),
  });
  const asked = spec.volumes.length + (metadataBy(spec).disk ? 1 : 0) + spec.interfaces.length;
  const hasAgent = wantsAgent(spec.providerOptions) && asked <= DEVICES_BESIDE_AGENT;
  const devices = asked + OWN_DEVICES + (hasAgent ? 1 : 0);
  return [
    ...checkOptions(spec),
    ...unplacedAgent(spec, DEVICES_BESIDE_AGENT),
    ...lacksOf(spec, CAPABILITIES),
    ...kernelLacks(kernel, version),
    ...commandLineLacks(line, guestWords, COMMAND_LINE_BYTES - APPENDED_BYTES - devices * DEVICE_BYTES),
  ];
}

function kernelLacks(kernel: KernelFacts | undefined, version: Version | undefined): readonly Violation[] {
  if (kernel?.form !== 'bzImage' || !version || isFrom(version, WITH_BZIMAGE)) return [];
  const description = `is a bzImage, and Firecracker ${version.text} boots only a vmlinux (${WITH_BZIMAGE.major}.${WITH_BZIMAGE.minor} boots both): name one, or another provider`;
  return [{ field: 'kernel.filename', description }];
}

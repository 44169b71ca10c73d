import { wantsAgent } from '../../domain/agent-report.ts';
import { lacksOf } from '../../domain/capabilities.ts';
import { wantsBalloon } from '../../domain/common-options.ts';
import type { Violation } from '../../domain/fault.ts';
import { COMMAND_LINE_BYTES, commandLineLacks } from '../../domain/kernel-cmdline.ts';
import type { KernelFacts } from '../../domain/kernel-facts.ts';
import { metadataBy } from '../../domain/metadata-rules.ts';
import type { Spec } from '../../domain/spec.ts';
import { roomFor, unplacedAgent } from '../supervisor/agent-place.ts';
import { besideAgent, CAPABILITIES, OWN_DEVICES, PCI_CAPABILITIES } from './capabilities.ts';
import { commandLine } from './cmdline.ts';
import { balloonLacks, checkOptions, hugePagesLack, optionsOf, pciLacks } from './options.ts';
import { isFrom, type Version, WITH_BZIMAGE } from './version.ts';

/** What Firecracker puts behind the command line: ` pci=off`. */
const APPENDED_BYTES = 8;
/** And for each device one ` virtio_mmio.device=4K@0xc0001000:5`. */
const DEVICE_BYTES = 40;

interface Known {
  readonly kernel?: KernelFacts | undefined;
  readonly version?: Version | undefined;
  readonly freeHugePages?: number | undefined;
}

/**
 * What of a spec Firecracker cannot do.
 * @param guestWords - each as long as it will be
 * @param known - what is not absent: `version` is the program's, `freeHugePages` the host's
 */
export function violationsOf(
  spec: Spec,
  guestWords: readonly string[] = [],
  { kernel, version, freeHugePages }: Known = {},
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
  const { pci } = optionsOf({ options: spec.providerOptions });
  const room = besideAgent({ pci });
  const hasAgent = wantsAgent(spec.providerOptions) && asked <= roomFor(spec.providerOptions, room);
  const devices = asked + OWN_DEVICES + [hasAgent, wantsBalloon(spec.providerOptions)].filter(Boolean).length;
  return [
    ...checkOptions(spec),
    ...hugePagesLack(spec, freeHugePages),
    ...pciLacks(spec, version),
    ...balloonLacks(spec, version),
    ...unplacedAgent(spec, room),
    ...lacksOf(spec, pci ? PCI_CAPABILITIES : CAPABILITIES),
    ...kernelLacks(kernel, version),
    ...commandLineLacks(line, guestWords, COMMAND_LINE_BYTES - (pci ? 0 : APPENDED_BYTES + devices * DEVICE_BYTES)),
  ];
}

function kernelLacks(kernel: KernelFacts | undefined, version: Version | undefined): readonly Violation[] {
  if (kernel?.form !== 'bzImage' || !version || isFrom(version, WITH_BZIMAGE)) return [];
  const description = `is a bzImage, and Firecracker ${version.text} boots only a vmlinux (${WITH_BZIMAGE.major}.${WITH_BZIMAGE.minor} boots both): name one, or another provider`;
  return [{ field: 'kernel.filename', description }];
}

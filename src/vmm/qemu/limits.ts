import { wantsAgent } from '../../domain/agent-report.ts';
import { lacksOf } from '../../domain/capabilities.ts';
import { ownOptions, wantsBalloon } from '../../domain/common-options.ts';
import type { Violation } from '../../domain/fault.ts';
import { COMMAND_LINE_BYTES, commandLineLacks } from '../../domain/kernel-cmdline.ts';
import { metadataBy } from '../../domain/metadata-rules.ts';
import type { Spec } from '../../domain/spec.ts';
import { roomFor, unplacedAgent } from '../supervisor/agent-place.ts';
import { capabilitiesOf, devicesBesideAgent, OWN_DEVICES } from './capabilities.ts';
import { commandLine } from './cmdline.ts';
import { checkOptions, vsockLacks } from './options.ts';

/** Without ACPI QEMU adds one `virtio_mmio.device=512@0xfeb00e00:12` for each slot in use. */
const MMIO_ARGUMENT_BYTES = 40;

/**
 * What of a spec QEMU's machine `microvm` cannot do.
 * @param guestWords - each as long as it will be
 * @param host - what is not absent is known
 */
export function violationsOf(
  spec: Spec,
  machine: { readonly accelerator: 'kvm' | 'tcg'; readonly acpi: boolean; readonly tscKhz?: number },
  guestWords: readonly string[] = [],
  { hasVsock }: { readonly hasVsock?: boolean | undefined } = {},
): readonly Violation[] {
  const line = commandLine({
    cmdline: spec.kernel.cmdline,
    guestWords,
    disks: spec.volumes.map(({ isRoot, isReadOnly, partitionId }) => ({
      ...{ isRoot, readOnly: isReadOnly },
      ...(partitionId !== undefined && { partitionUuid: partitionId }),
    })),
    ...(machine.tscKhz === undefined ? {} : { tscKhz: machine.tscKhz }),
  });
  const devices = spec.volumes.length + (metadataBy(spec).disk ? 1 : 0) + spec.interfaces.length;
  const besideAgent = devicesBesideAgent(machine.acpi);
  const hasRoom = devices <= roomFor(spec.providerOptions, besideAgent);
  const more = [wantsAgent(spec.providerOptions) && hasRoom, wantsBalloon(spec.providerOptions)];
  const all = devices + OWN_DEVICES + more.filter(Boolean).length;
  const room = COMMAND_LINE_BYTES - (machine.acpi ? 0 : all * MMIO_ARGUMENT_BYTES);
  return [
    ...checkOptions(ownOptions(spec.providerOptions)),
    ...vsockLacks(spec.providerOptions, hasVsock),
    ...unplacedAgent(spec, besideAgent),
    ...lacksOf(spec, capabilitiesOf(machine)),
    ...commandLineLacks(line, guestWords, room),
  ];
}

import { lacksOf } from '../../domain/capabilities.ts';
import { ownOptions } from '../../domain/common-options.ts';
import type { Violation } from '../../domain/fault.ts';
import { COMMAND_LINE_BYTES, commandLineLacks } from '../../domain/kernel-cmdline.ts';
import { shorten } from '../../domain/labels.ts';
import type { Spec } from '../../domain/spec.ts';
import { unplacedAgent } from '../supervisor/agent-place.ts';
import { capabilitiesOf, DEVICES_BESIDE_AGENT } from './capabilities.ts';
import { commandLine } from './cmdline.ts';

/** What no version differs in. */
const CAPABILITIES = capabilitiesOf({ overlays: false });

/**
 * What of a spec Cloud Hypervisor cannot do.
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
  return [
    ...Object.keys(ownOptions(spec.providerOptions)).map((key) => ({
      field: `provider_options[${shorten(key)}]`,
      description: "is no option of Cloud Hypervisor's; it has none",
    })),
    ...unplacedAgent(spec, DEVICES_BESIDE_AGENT),
    ...lacksOf(spec, CAPABILITIES),
    ...commandLineLacks(line, guestWords, COMMAND_LINE_BYTES),
  ];
}

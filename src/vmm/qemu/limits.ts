import { lacksOf } from '../../domain/capabilities.ts';
import type { Violation } from '../../domain/fault.ts';
import { metadataBy } from '../../domain/metadata-ways.ts';
import type { Spec } from '../../domain/spec.ts';
import { capabilitiesOf, OWN_DEVICES } from './capabilities.ts';
import { commandLine } from './cmdline.ts';
import { checkOptions } from './options.ts';

/** x86 Linux cuts a longer command line without a word: COMMAND_LINE_SIZE, with the NUL at its end. */
const COMMAND_LINE_BYTES = 2048 - 1;
/** Without ACPI QEMU adds one `virtio_mmio.device=512@0xfeb00e00:12` for each slot in use. */
const MMIO_ARGUMENT_BYTES = 40;

/**
 * What of a spec QEMU's machine `microvm` cannot do.
 * @param guestWords - each as long as it will be
 */
export function violationsOf(
  spec: Spec,
  machine: { readonly accelerator: 'kvm' | 'tcg'; readonly acpi: boolean; readonly tscKhz?: number },
  guestWords: readonly string[] = [],
): readonly Violation[] {
  const found: Violation[] = [...checkOptions(spec.providerOptions), ...lacksOf(spec, capabilitiesOf(machine))];

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
  const room = COMMAND_LINE_BYTES - (machine.acpi ? 0 : (devices + OWN_DEVICES) * MMIO_ARGUMENT_BYTES);
  const bytes = Buffer.byteLength(line);
  if (bytes > room)
    found.push({
      field: 'kernel.cmdline',
      description: `makes ${bytes} bytes with ${besides(guestWords)}; the kernel reads only the first ${room}`,
    });
  return found;
}

/** Names what takes the room, so that the user knows what to shorten. */
function besides(guestWords: readonly string[]): string {
  const bytesOf = (key: string): number =>
    guestWords.filter((word) => word.startsWith(`${key}=`)).reduce((sum, word) => sum + Buffer.byteLength(word) + 1, 0);
  const parts = [
    ['flintlock.mount', 'for the mount_points'],
    ['flintlock.nic', 'for the names and addresses of interfaces'],
    ['network-config', 'for add_network_config'],
    ['ds', 'for allow_metadata_req'],
  ].flatMap(([key = '', why = '']) => (bytesOf(key) === 0 ? [] : [`${bytesOf(key)} ${why}`]));
  return ['the defaults', ...parts].join(', ');
}

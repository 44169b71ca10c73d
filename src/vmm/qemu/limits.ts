import type { Violation } from '../../domain/fault.ts';
import { metadataBy } from '../../domain/metadata.ts';
import type { Spec } from '../../domain/spec.ts';
import { commandLine } from './cmdline.ts';
import { checkOptions } from './options.ts';

/**
 * The most virtual CPUs: the machine `microvm` has room for 288, but those
 * beyond 255 need an x2APIC, which QEMU 7.2 cannot emulate ("current -smp
 * configuration requires kernel irqchip and X2APIC API support").
 */
const MAX_VCPU = { kvm: 288, tcg: 255 } as const;

/** The smallest guest seen to boot had 48 MiB and a kernel of its own; below this no Linux unpacks itself. */
const MIN_MEMORY_MB = 32;
/** 1 TiB, what the 40 address bits of the emulated CPU reach, less the hole for devices. */
const MAX_MEMORY_MB = (1 << 20) - 1024;

/** Transports for virtio devices, tried: one device more and QEMU says "No 'virtio-bus' bus found". */
const VIRTIO_SLOTS = { acpi: 24, noAcpi: 8 } as const;
/** The random number generator. */
const OWN_DEVICES = 1;

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
  const found: Violation[] = [...checkOptions(spec.providerOptions)];
  const refuse = (field: string, description: string): void => void found.push({ field, description });

  const maxVcpu = MAX_VCPU[machine.accelerator];
  if (!Number.isInteger(spec.vcpu) || spec.vcpu < 1 || spec.vcpu > maxVcpu)
    refuse('vcpu', `is ${spec.vcpu}; QEMU's microvm takes 1 to ${maxVcpu} with the accelerator ${machine.accelerator}`);

  const memory = spec.memoryInMb;
  if (!Number.isInteger(memory) || memory < MIN_MEMORY_MB || memory > MAX_MEMORY_MB)
    refuse('memory_in_mb', `is ${memory}; QEMU's microvm takes ${MIN_MEMORY_MB} to ${MAX_MEMORY_MB}`);

  const slots = (machine.acpi ? VIRTIO_SLOTS.acpi : VIRTIO_SLOTS.noAcpi) - OWN_DEVICES;
  const cidata = metadataBy(spec).disk ? 1 : 0;
  const devices = spec.volumes.length + cidata + spec.interfaces.length;
  if (devices > slots)
    refuse(
      spec.volumes.length >= spec.interfaces.length ? 'volumes' : 'interfaces',
      `there are ${spec.volumes.length} volumes${cidata === 0 ? '' : ', a disk for metadata'} and ${spec.interfaces.length} interfaces; ` +
        `QEMU's microvm has room for ${slots} of them together${machine.acpi ? '' : ' without ACPI'}`,
    );

  const line = commandLine({
    cmdline: spec.kernel.cmdline,
    guestWords,
    disks: spec.volumes.map(({ isRoot, isReadOnly, partitionId }) => ({
      ...{ isRoot, readOnly: isReadOnly },
      ...(partitionId !== undefined && { partitionUuid: partitionId }),
    })),
    ...(machine.tscKhz === undefined ? {} : { tscKhz: machine.tscKhz }),
  });
  const room = COMMAND_LINE_BYTES - (machine.acpi ? 0 : (devices + OWN_DEVICES) * MMIO_ARGUMENT_BYTES);
  const bytes = Buffer.byteLength(line);
  if (bytes > room)
    refuse(
      'kernel.cmdline',
      `makes ${bytes} bytes with ${besides(guestWords)}; the kernel reads only the first ${room}`,
    );
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

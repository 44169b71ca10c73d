import type { Capabilities } from '../../domain/capabilities.ts';

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
export const OWN_DEVICES = 1;

/** How many devices of a spec's own, disks and interfaces, leave a transport for the agent's port. */
export const devicesBesideAgent = (acpi: boolean): number =>
  (acpi ? VIRTIO_SLOTS.acpi : VIRTIO_SLOTS.noAcpi) - OWN_DEVICES - 1;

/** What the machine `microvm` can do. */
export function capabilitiesOf({
  accelerator,
  acpi,
}: {
  readonly accelerator: 'kvm' | 'tcg';
  readonly acpi: boolean;
}): Capabilities {
  const slots = (acpi ? VIRTIO_SLOTS.acpi : VIRTIO_SLOTS.noAcpi) - OWN_DEVICES;
  return {
    machine: "QEMU's microvm",
    diskFormats: ['qcow2', 'raw'],
    interfaceTypes: ['TAP', 'MACVTAP'],
    pause: true,
    rebootInPlace: true,
    powerButton: acpi,
    consoleInput: true,
    snapshot: false,
    channels: ['console', 'agent'],
    balloon: true,
    mmds: false,
    limits: {
      vcpu: { most: MAX_VCPU[accelerator], note: `with the accelerator ${accelerator}` },
      memoryInMb: { least: MIN_MEMORY_MB, most: MAX_MEMORY_MB },
      disks: slots,
      interfaces: slots,
      devices: { most: slots, ...(!acpi && { note: 'without ACPI' }) },
    },
  };
}

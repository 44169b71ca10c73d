import type { Capabilities } from '../../domain/capabilities.ts';

/**
 * Devices without PCI have an interrupt each: there are 19 (GSI 5 to 23), and the generation counter, its clock and the random
 * number generator have one each.
 * @see https://github.com/firecracker-microvm/firecracker/blob/main/src/vmm/src/arch/x86_64/layout.rs `GSI_LEGACY_NUM`
 */
const DEVICES = 19 - 3;

/** How many disks and interfaces leave an interrupt for the vsock of the guest's agent. */
export const DEVICES_BESIDE_AGENT = DEVICES - 1;

/** What Firecracker's machine can do. */
export const CAPABILITIES: Capabilities = {
  machine: 'Firecracker',
  diskFormats: ['raw'],
  interfaceTypes: ['TAP'],
  pause: true,
  // It ends where others reset.
  rebootInPlace: false,
  // Ctrl-Alt-Del, which a guest's kernel hears with CONFIG_VT and its init takes for a reboot: at which the VMM ends.
  powerButton: true,
  consoleInput: true,
  snapshot: false,
  channels: ['console', 'agent'],
  mmds: true,
  limits: {
    // @see https://github.com/firecracker-microvm/firecracker/blob/main/src/vmm/src/vmm_config/machine_config.rs `MAX_SUPPORTED_VCPUS`
    vcpu: { most: 32 },
    // Below the least no Linux unpacks itself. Any number of MiB is taken when it is told: what the host has decides.
    memoryInMb: { least: 32, most: 1 << 24 },
    disks: DEVICES,
    interfaces: DEVICES,
    devices: { most: DEVICES },
  },
};

/** The random number generator, the one device of its own that is told on the command line. */
export const OWN_DEVICES = 1;

import type { Capabilities } from '../../domain/capabilities.ts';

/**
 * Devices without PCI have an interrupt each: there are 19 (GSI 5 to 23), and the generation counter, its clock and the random
 * number generator have one each.
 * @see https://github.com/firecracker-microvm/firecracker/blob/main/src/vmm/src/arch/x86_64/layout.rs `GSI_LEGACY_NUM`
 */
const DEVICES = 19 - 3;

/** A PCI bus has 31 places beside that of its bridge; the random number generator takes one. */
const PCI_DEVICES = 31 - 1;

/** How many disks and interfaces leave an interrupt for the vsock of the guest's agent. */
const DEVICES_BESIDE_AGENT = DEVICES - 1;

/** How many disks and interfaces leave a place for it. @param pci - whether they are on a PCI bus */
export const besideAgent = ({ pci }: { readonly pci: boolean }): number =>
  pci ? PCI_DEVICES - 1 : DEVICES_BESIDE_AGENT;

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
  balloon: true,
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

/** And with `firecracker.pci`. */
export const PCI_CAPABILITIES: Capabilities = {
  ...CAPABILITIES,
  machine: 'Firecracker with PCI',
  limits: { ...CAPABILITIES.limits, disks: PCI_DEVICES, interfaces: PCI_DEVICES, devices: { most: PCI_DEVICES } },
};

/** The random number generator, the one device of its own that is told on the command line. */
export const OWN_DEVICES = 1;

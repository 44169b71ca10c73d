import type { Capabilities, DiskFormat } from '../../domain/capabilities.ts';

/** One bus with 32 slots, of which the bridge has one, the random number generator one, the panic device one. */
const SLOTS = 32 - 3;

/** How many disks and interfaces leave a slot for the vsock of the guest's agent. */
export const DEVICES_BESIDE_AGENT = SLOTS - 1;

/** What Cloud Hypervisor's machine can do. @param overlays - of qcow2, over a disk that is named in them */
export const capabilitiesOf = ({ overlays }: { readonly overlays: boolean }): Capabilities => ({
  ...ALWAYS,
  diskFormats: overlays ? (['qcow2', 'raw'] satisfies DiskFormat[]) : ['raw'],
});

const ALWAYS: Omit<Capabilities, 'diskFormats'> = {
  machine: "Cloud Hypervisor's machine",
  interfaceTypes: ['TAP', 'MACVTAP'],
  pause: true,
  rebootInPlace: true,
  powerButton: true,
  consoleInput: true,
  snapshot: false,
  channels: ['console', 'agent'],
  balloon: true,
  mmds: false,
  limits: {
    // arch/src/x86_64/mod.rs, MAX_SUPPORTED_CPUS_LEGACY: more need another form of interrupts.
    vcpu: { most: 254 },
    // The smallest guest seen to boot had 64 MiB; with 1 TiB it ends (seen with 53).
    memoryInMb: { least: 32, most: (1 << 20) - 1024 },
    // Linux names them by one letter in what guests are told.
    disks: 26,
    interfaces: SLOTS,
    devices: { most: SLOTS },
  },
};

import type { Shape } from './json.ts';

const text = { kind: 'a string' } as const;
const needed = { kind: 'a string', required: true } as const;
const flag = { kind: 'a boolean' } as const;
const any = { kind: 'any' } as const;

/** What Firecracker 1.17 takes. @see https://github.com/firecracker-microvm/firecracker/tree/main/src/vmm/src/vmm_config */
export const SHAPES = {
  machine: {
    name: 'MachineConfig',
    fields: {
      vcpu_count: { kind: 'u8', required: true },
      mem_size_mib: { kind: 'usize', required: true },
      smt: { kind: 'a boolean' },
      cpu_template: { kind: { of: ['C3', 'T2', 'T2S', 'T2CL', 'T2A', 'V1N1', 'None'] } },
      track_dirty_pages: flag,
      huge_pages: { kind: { of: ['None', 'Transparent', '2M'] } },
    },
  },
  bootSource: {
    name: 'BootSourceConfig',
    fields: { kernel_image_path: needed, initrd_path: text, boot_args: text },
  },
  drive: {
    name: 'BlockDeviceConfig',
    fields: {
      drive_id: needed,
      partuuid: text,
      is_root_device: { kind: 'a boolean', required: true },
      cache_type: { kind: { of: ['Unsafe', 'Writeback'] } },
      is_read_only: flag,
      path_on_host: text,
      rate_limiter: any,
      io_engine: { kind: { of: ['Async', 'Sync'] } },
      socket: text,
    },
  },
  interface: {
    name: 'NetworkInterfaceConfig',
    fields: {
      iface_id: needed,
      host_dev_name: needed,
      guest_mac: { kind: 'mac' },
      mtu: { kind: 'u16' },
      rx_rate_limiter: any,
      tx_rate_limiter: any,
    },
  },
  vsock: {
    name: 'VsockDeviceConfig',
    fields: { vsock_id: text, guest_cid: { kind: 'u32', required: true }, uds_path: needed },
  },
  balloon: {
    name: 'BalloonDeviceConfig',
    fields: {
      amount_mib: { kind: 'u32', required: true },
      deflate_on_oom: { kind: 'a boolean', required: true },
      stats_polling_interval_s: { kind: 'u16' },
      free_page_hinting: flag,
      free_page_reporting: flag,
    },
  },
  entropy: { name: 'EntropyDeviceConfig', fields: { rate_limiter: any } },
  mmds: {
    name: 'MmdsConfig',
    fields: {
      version: { kind: { of: ['V1', 'V2'] } },
      network_interfaces: { kind: 'strings', required: true },
      ipv4_address: { kind: 'ipv4' },
      imds_compat: flag,
    },
  },
  action: {
    name: 'ActionBody',
    fields: { action_type: { kind: { of: ['FlushMetrics', 'InstanceStart', 'SendCtrlAltDel'] }, required: true } },
  },
  vm: { name: 'Vm', fields: { state: { kind: { of: ['Paused', 'Resumed'] }, required: true } } },
} as const satisfies Readonly<Record<string, Shape>>;

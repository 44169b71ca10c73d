/** What a machine is made with, as far as it is looked at. @see vmm/src/vm_config.rs */

export interface Net {
  readonly id?: string;
  readonly mac?: string;
  readonly tap?: string;
  readonly num_queues?: number;
  /** Of the interface behind its descriptor. */
  readonly device?: string;
}

export interface Disk {
  readonly path?: string;
  readonly readonly?: boolean;
  readonly serial?: string;
  readonly image_type?: string;
  readonly backing_files?: boolean;
}

export interface VmConfig {
  readonly cpus?: { readonly boot_vcpus: number; readonly max_vcpus: number };
  readonly memory?: { readonly size: number };
  readonly payload?: { readonly kernel?: string; readonly initramfs?: string; readonly cmdline?: string };
  readonly disks?: readonly Disk[];
  readonly net?: Net[];
  readonly rng?: { readonly src: string };
  readonly vsock?: { readonly cid: number; readonly socket: string };
  readonly serial?: { readonly mode: string };
  readonly console?: { readonly mode: string };
  readonly pvpanic?: boolean;
  readonly landlock_enable?: boolean;
  readonly landlock_rules?: readonly { readonly path: string; readonly access: string }[];
}

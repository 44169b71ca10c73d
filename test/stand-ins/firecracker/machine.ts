import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { HybridVsock } from '../hybrid-vsock.ts';
import type { Answer, Asked } from './http.ts';
import { Misread, readObject, readValue } from './json.ts';
import { inOrder, Mmds, NotFit } from './mmds.ts';
import { SHAPES } from './shapes.ts';
import { osError, type Plugged, plugInto } from './tap.ts';

export const VERSION = '1.17.0-dev';

export interface Drive {
  readonly drive_id: string;
  readonly is_root_device: boolean;
  readonly is_read_only: boolean;
  readonly path_on_host: string;
  readonly cache_type: string;
  readonly fd: number;
}

export interface Interface {
  readonly iface_id: string;
  readonly host_dev_name: string;
  readonly guest_mac?: string;
  readonly mtu?: number;
  readonly plugged: Plugged;
}

/** What a guest would begin with. */
export interface Begun {
  readonly vcpus: number;
  readonly memoryInMib: number;
  readonly cmdline: string;
  readonly drives: readonly Drive[];
  readonly interfaces: readonly Interface[];
  /** Absent: nobody answers on any interface. */
  readonly mmds?: { readonly version: string; readonly on: readonly string[]; readonly store: Mmds };
}

/** By its command line. */
interface Named {
  readonly id: string;
  readonly mmdsBytes: number;
  readonly pci: boolean;
}

type Body = Readonly<Record<string, unknown>>;

class Refused extends Error {}

const COMMAND_LINE_BYTES = 2048 - 1;
const NOT_BEFORE = 'The requested operation is not supported before starting the microVM.';
const NOT_AFTER = 'The requested operation is not supported after starting the microVM.';
const NO_STORE = 'MMDS error: The MMDS data store is not initialized.';
const BAD_VCPUS =
  'Machine config error: The number of vCPUs must be greater than 0, less than 32 and must be 1 or an even number if SMT is enabled.';

/** The machine that a Firecracker has been told of, and its state. */
export class Machine {
  readonly #id: string;
  readonly #begin: (begun: Begun) => void;
  readonly #press: () => void;
  readonly #flush: () => void;
  #state: 'Not started' | 'Running' | 'Paused' = 'Not started';
  #config: Body = { vcpu_count: 1, mem_size_mib: 128, smt: false, track_dirty_pages: false, huge_pages: 'None' };
  #boot: { readonly told: Body; readonly kernel: number; readonly initrd?: number } | undefined;
  #drives: readonly Drive[] = [];
  #interfaces: readonly Interface[] = [];
  #hasEntropy = false;
  #balloon: Body | undefined;
  #mmdsConfig: Body | undefined;
  readonly #mmds: Mmds;
  readonly #pci: boolean;
  #vsock: { readonly cid: number; readonly device: HybridVsock } | undefined;

  /** @param press - Ctrl-Alt-Del, for a guest that runs; `flush`: tells what was counted */
  constructor({ id, mmdsBytes, pci }: Named, begin: (begun: Begun) => void, press: () => void, flush: () => void) {
    this.#id = id;
    this.#pci = pci;
    this.#mmds = new Mmds(mmdsBytes);
    this.#press = press;
    this.#flush = flush;
    this.#begin = begin;
  }

  get cmdline(): string {
    return String(this.#boot?.told.boot_args ?? '');
  }

  get isStarted(): boolean {
    return this.#state !== 'Not started';
  }

  async answer(asked: Asked): Promise<Answer> {
    try {
      const body = await this.#do(asked);
      return body === undefined ? { status: 204 } : { status: 200, body: JSON.stringify(body) };
    } catch (error) {
      if (error instanceof Misread) {
        const words = `An error occurred when deserializing the json body of a request: ${error.message}.`;
        return { status: 400, body: JSON.stringify({ fault_message: words }) };
      }
      if (error instanceof NotFit) return { status: 413, body: JSON.stringify({ fault_message: error.message }) };
      if (error instanceof Refused) return { status: 400, body: JSON.stringify({ fault_message: error.message }) };
      throw error;
    }
  }

  async #do({ method, path, body }: Asked): Promise<unknown> {
    const [first = '', id] = path.replace(/^\/+/, '').split('/');
    if (method === 'GET') return this.#get(first, id, body);
    if (body === undefined) throw new Refused(`Empty ${method} request.`);
    switch (`${method} ${first}`) {
      case 'PUT actions':
        return this.#act(readObject(body, SHAPES.action));
      case 'PUT machine-config':
        return this.#configure(readObject(body, SHAPES.machine));
      case 'PUT boot-source':
        return this.#setBoot(readObject(body, SHAPES.bootSource));
      case 'PUT drives':
        return this.#addDrive(checkedId(id), readObject(body, SHAPES.drive));
      case 'PUT network-interfaces':
        return this.#addInterface(checkedId(id), readObject(body, SHAPES.interface));
      case 'PUT vsock':
        return this.#setVsock(readObject(body, SHAPES.vsock));
      case 'PUT entropy':
        readObject(body, SHAPES.entropy);
        this.#beforeStart();
        this.#hasEntropy = true;
        return undefined;
      case 'PUT balloon':
        return this.#setBalloon(readObject(body, SHAPES.balloon));
      case 'PUT mmds':
        if (id === undefined) return void this.#mmds.put(readValue(body));
        if (id !== 'config') throw new Refused(`Unrecognized PUT request path \`${id}\`.`);
        return this.#setMmds(readObject(body, SHAPES.mmds));
      case 'PATCH mmds': {
        const patch = readValue(body);
        if (!this.#mmds.isThere) throw new Refused(NO_STORE);
        return void this.#mmds.patch(patch);
      }
      case 'PATCH vm':
        return this.#turn(String(readObject(body, SHAPES.vm).state));
      default:
        throw new Refused(`Invalid request method and/or path: ${method} ${first}.`);
    }
  }

  #get(first: string, second: string | undefined, body: string | undefined): unknown {
    if (body !== undefined) throw new Refused('GET request cannot have a body.');
    if (first === '') return { id: this.#id, state: this.#state, vmm_version: VERSION, app_name: 'Firecracker' };
    if (first === 'version') return { firecracker_version: VERSION };
    if (first === 'machine-config') return this.#config;
    // Before there is any, too.
    if (first === 'mmds') return inOrder(this.#mmds.data ?? {});
    if (first === 'vm' && second === 'config') return this.#whole();
    throw new Refused(`Invalid request method and/or path: GET ${first}.`);
  }

  #whole(): unknown {
    return {
      balloon: this.#balloon ?? null,
      drives: this.#drives.map((drive) => ({
        ...{ drive_id: drive.drive_id, partuuid: null, is_root_device: drive.is_root_device },
        ...{ cache_type: drive.cache_type, is_read_only: drive.is_read_only, path_on_host: drive.path_on_host },
        ...{ rate_limiter: null, io_engine: 'Sync', socket: null },
      })),
      'boot-source': { kernel_image_path: '', initrd_path: null, boot_args: null, ...this.#boot?.told },
      'cpu-config': null,
      logger: null,
      'machine-config': this.#config,
      metrics: null,
      'mmds-config': this.#mmdsConfig ?? null,
      'network-interfaces': this.#interfaces.map(({ plugged: _, ...one }) => one),
      vsock: this.#vsock ? { guest_cid: this.#vsock.cid, uds_path: this.#vsock.device.path } : null,
      entropy: this.#hasEntropy ? { rate_limiter: null } : null,
      pmem: [],
      'memory-hotplug': null,
    };
  }

  #setBalloon(told: Body): undefined {
    this.#beforeStart();
    if (Number(told.amount_mib) > Number(this.#config.mem_size_mib))
      throw new Refused('Balloon config error: Amount of pages requested is too large.');
    // In the order in which it tells them.
    const { amount_mib, deflate_on_oom } = told;
    const more = { stats_polling_interval_s: 0, free_page_hinting: false, free_page_reporting: false };
    this.#balloon = { amount_mib, deflate_on_oom, ...more, ...given(told) };
  }

  #beforeStart(): void {
    if (this.isStarted) throw new Refused(NOT_AFTER);
  }

  #configure(told: Body): undefined {
    this.#beforeStart();
    const vcpus = Number(told.vcpu_count);
    if (vcpus < 1 || vcpus > 32 || (told.smt === true && vcpus > 1 && vcpus % 2 === 1)) throw new Refused(BAD_VCPUS);
    if (told.mem_size_mib === 0 || (isInPairs(told.huge_pages) && Number(told.mem_size_mib) % 2 === 1))
      throw new Refused(
        'Machine config error: The memory size (MiB) is either 0, or not a multiple of the configured page size.',
      );
    this.#config = { ...this.#config, smt: false, track_dirty_pages: false, huge_pages: 'None', ...given(told) };
    return undefined;
  }

  #setBoot(told: Body): undefined {
    this.#beforeStart();
    const kernel = opened(
      String(told.kernel_image_path),
      'r',
      (why) => `Boot source error: The kernel file cannot be opened: ${why}`,
    );
    const initrd =
      told.initrd_path === undefined
        ? undefined
        : opened(
            String(told.initrd_path),
            'r',
            (why) =>
              `Boot source error: The initrd file cannot be opened due to invalid path or invalid permissions. ${why}`,
          );
    if (Buffer.byteLength(String(told.boot_args ?? '')) > COMMAND_LINE_BYTES)
      throw new Refused('Boot source error: The kernel command line is invalid: Invalid cmdline capacity provided.');
    this.#boot = { told, kernel, ...(initrd !== undefined && { initrd }) };
    return undefined;
  }

  #addDrive(id: string, told: Body): undefined {
    if (told.drive_id !== id) throw new Refused('The id from the path does not match the id from the body!');
    this.#afterStart();
    const path = String(told.path_on_host ?? '');
    const failed = (words: string): string => `Drive config error: Unable to create the virtio block device: ${words}`;
    if (told.path_on_host === undefined || told.socket !== undefined)
      throw new Refused(failed('Invalid block config.'));
    const isReadOnly = told.is_read_only === true;
    if (told.is_root_device === true && this.#drives.some((one) => one.is_root_device && one.drive_id !== id))
      throw new Refused('Drive config error: A root block device already exists!');
    const fd = opened(path, isReadOnly ? 'r' : 'r+', (why) =>
      failed(`Virtio backend error: Error manipulating the backing file: ${why} ${path}`),
    );
    const drive: Drive = {
      ...{ drive_id: id, is_root_device: told.is_root_device === true, is_read_only: isReadOnly, path_on_host: path },
      ...{ cache_type: String(told.cache_type ?? 'Unsafe'), fd },
    };
    const old = this.#drives.findIndex((one) => one.drive_id === id);
    if (old >= 0) this.#drives = this.#drives.with(old, drive);
    else this.#drives = drive.is_root_device ? [drive, ...this.#drives] : [...this.#drives, drive];
    return undefined;
  }

  async #addInterface(id: string, told: Body): Promise<undefined> {
    if (told.iface_id !== id)
      throw new Refused(`The id from the path [${id}] does not match the id from the body [${String(told.iface_id)}]!`);
    this.#afterStart();
    const mac = told.guest_mac;
    if (this.#interfaces.some((one) => mac !== undefined && one.guest_mac === mac && one.iface_id !== id))
      throw new Refused(`Network config error: The MAC address is already in use: ${String(mac)}`);
    const device = String(told.host_dev_name);
    const rest = this.#interfaces.filter((one) => one.iface_id !== id);
    for (const one of this.#interfaces) if (one.iface_id === id) one.plugged.unplug();
    let plugged: Plugged;
    try {
      plugged = await plugInto(device);
    } catch (error) {
      this.#interfaces = rest;
      const words = error instanceof Error ? error.message : String(error);
      throw new Refused(`Network config error: Could not create the network device: Open tap device failed: ${words}`);
    }
    this.#interfaces = [
      ...rest,
      {
        ...{ iface_id: id, host_dev_name: device, plugged },
        ...(mac !== undefined && { guest_mac: String(mac) }),
        ...(told.mtu !== undefined && { mtu: Number(told.mtu) }),
      },
    ];
    return undefined;
  }

  /** Bound at once. A second one takes the first one's file away, whatever becomes of itself. */
  #setVsock({ guest_cid: cid, uds_path: path }: Body): undefined {
    this.#beforeStart();
    this.#vsock?.device.close();
    this.#vsock = undefined;
    try {
      this.#vsock = { cid: Number(cid), device: new HybridVsock(String(path)) };
    } catch (error) {
      const errno = error instanceof Error && 'errno' in error ? -Number(error.errno) : 0;
      throw new Refused(
        `Vsock config error: Cannot create backend for vsock device: Error binding to the host-side Unix socket: ${osError(errno)}`,
      );
    }
    return undefined;
  }

  #setMmds(told: Body): undefined {
    this.#beforeStart();
    const { version = 'V1', network_interfaces: named, ipv4_address: address = null, imds_compat = false } = told;
    const failed = (words: string): never => {
      throw new Refused(`MMMDS config error: ${words}`); // as it says it
    };
    if (address !== null && !/^169\.254\.(?!0\.|255\.)/.test(String(address)))
      failed('The MMDS IPv4 address is not link local.');
    const names = named as readonly string[];
    if (names.length === 0) failed('The list of network interface IDs that allow forwarding MMDS requests is empty.');
    if (!names.every((name) => this.#interfaces.some((one) => one.iface_id === name)))
      failed(
        'The list of network interface IDs provided contains at least one ID that does not correspond to any existing network interface.',
      );
    this.#mmdsConfig = { version, network_interfaces: names, ipv4_address: address ?? '169.254.169.254', imds_compat };
    return undefined;
  }

  /** Its guest's kernel has stopped for good. */
  halt(): void {
    this.#vsock?.device.halt();
  }

  /** Devices may be had later only over PCI. */
  #afterStart(): void {
    if (this.isStarted) throw new Refused('Internal VMM error: Device manager error: PCI is not enabled');
  }

  #act({ action_type: action }: Body): undefined {
    if (action === 'FlushMetrics') {
      if (!this.isStarted) throw new Refused(NOT_BEFORE);
      return void this.#flush();
    }
    if (action === 'SendCtrlAltDel') {
      if (!this.isStarted) throw new Refused(NOT_BEFORE);
      if (this.#state === 'Running') this.#press();
      return undefined;
    }
    this.#beforeStart();
    const failed = (words: string): never => {
      throw new Refused(`Start microvm error: ${words}`);
    };
    if (!this.#boot) return failed('Cannot start microvm without kernel configuration.');
    const isElf = textAt(this.#boot.kernel, 0) === '\x7fELF';
    if (!isElf && textAt(this.#boot.kernel, BZIMAGE_MAGIC_AT) !== 'HdrS')
      return failed(
        'System configuration error: Cannot load kernel due to invalid memory configuration or invalid kernel image: Kernel Loader: failed to load ELF kernel image',
      );
    const root = this.#drives.find((one) => one.is_root_device);
    const devices = [
      ...this.#drives,
      ...this.#interfaces,
      ...(this.#vsock ? [''] : []),
      ...(this.#hasEntropy ? [''] : []),
    ];
    const words = [
      this.cmdline,
      ...(this.#pci ? [] : ['pci=off']),
      ...(root ? [`root=/dev/vda ${root.is_read_only ? 'ro' : 'rw'}`] : []),
      ...(this.#pci ? [] : devices).map(
        (_, i) => `virtio_mmio.device=4K@0x${(0xc000_1000 + i * 0x1000).toString(16)}:${5 + i}`,
      ),
    ];
    const cmdline = words.join(' ');
    if (Buffer.byteLength(cmdline) > COMMAND_LINE_BYTES)
      return failed('Cannot load command line string: command line too long');
    this.#state = 'Running';
    this.#begin({
      ...{ vcpus: Number(this.#config.vcpu_count), memoryInMib: Number(this.#config.mem_size_mib), cmdline },
      ...{ drives: this.#drives, interfaces: this.#interfaces },
      ...(this.#mmdsConfig && {
        mmds: {
          version: String(this.#mmdsConfig.version),
          on: this.#mmdsConfig.network_interfaces as readonly string[],
          store: this.#mmds,
        },
      }),
    });
    if (!this.cmdline.includes('stand-in=no-agent')) this.#vsock?.device.begin();
    return undefined;
  }

  #turn(wanted: string): undefined {
    if (!this.isStarted) throw new Refused(NOT_BEFORE);
    this.#state = wanted === 'Paused' ? 'Paused' : 'Running';
    if (wanted === 'Paused') this.#vsock?.device.pause();
    else this.#vsock?.device.resume();
    return undefined;
  }
}

/** @see Documentation/arch/x86/boot.rst in Linux */
const BZIMAGE_MAGIC_AT = 0x202;

function textAt(fd: number, at: number): string {
  const bytes = Buffer.alloc(4);
  readSync(fd, bytes, 0, bytes.length, at);
  return bytes.toString('latin1');
}

/** Of 2 MiB. */
const isInPairs = (pages: unknown): boolean => pages === '2M' || pages === 'Transparent';

const given = (told: Body): Body => Object.fromEntries(Object.entries(told).filter(([, value]) => value !== undefined));

function checkedId(id: string | undefined): string {
  if (id === undefined || id === '') throw new Refused('The ID cannot be empty.');
  if (!/^[\p{L}\p{N}_]+$/u.test(id))
    throw new Refused('API Resource IDs can only contain alphanumeric characters and underscores.');
  return id;
}

function opened(path: string, flags: 'r' | 'r+', failed: (why: string) => string): number {
  try {
    const fd = openSync(path, flags);
    if (flags === 'r' || !statSync(path).isDirectory()) return fd;
    closeSync(fd);
    throw new Refused(failed(osError(21)));
  } catch (error) {
    if (error instanceof Refused) throw error;
    const errno = error instanceof Error && 'errno' in error ? -Number(error.errno) : 0;
    throw new Refused(failed(osError(errno)));
  }
}

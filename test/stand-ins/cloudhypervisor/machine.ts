import { closeSync, existsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { HybridVsock } from '../hybrid-vsock.ts';
import type { Net, VmConfig } from './config.ts';
import type { Tell } from './events.ts';
import { confined, type MayOpen } from './landlock.ts';
import { Opening, type Taken } from './opening.ts';
import { parse, Refusal } from './refusal.ts';
import { NET, VM } from './shapes.ts';

export const VERSION = '53.0.0';
export const BUILD = 'v53.0-246-g5eed1e5';

export interface Answer {
  readonly status: number;
  readonly body?: unknown;
}

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body: string;
  /** What came beside it: `name/flags` of each. */
  readonly descriptors: readonly string[];
}

/** What a guest finds. */
export interface Booted {
  readonly cpus: number;
  readonly megabytes: number;
  readonly cmdline: string;
  readonly disks: readonly Taken[];
  readonly nets: readonly Net[];
  /** Whether its serial port is our standard output. */
  readonly speaks: boolean;
  readonly pvpanic: boolean;
}

export interface Guest {
  pressPower(): void;
  pause(): void;
  resume(): void;
  end(): void;
}

/** Below are the hypervisor, this end and the host. @see vsock(7) */
const FIRST_GUEST_CID = 3;
/** The one answer of 200 that has no body. */
const ENDED = Symbol('ended');
const GET = ['vmm.ping', 'vm.info', 'vm.counters'];
const PUT = [
  ...['vm.create', 'vm.delete', 'vm.boot', 'vm.pause', 'vm.resume', 'vm.shutdown', 'vm.reboot', 'vm.power-button'],
  ...['vm.add-net', 'vmm.shutdown'],
];

/** The machine's states, and what they let through. @see vmm/src/lib.rs */
export class Machine {
  readonly #tell: Tell;
  readonly #beGuest: (booted: Booted) => Guest;
  readonly #end: () => void;
  #config: VmConfig | undefined;
  #guest: Guest | undefined;
  #open: readonly number[] = [];
  #vsock: HybridVsock | undefined;
  #isPaused = false;
  /** Once it has shut itself out of the host's files it never can again open more. */
  #mayOpen: MayOpen = () => true;
  /** Its kernel could not be loaded: the machine is there, and does not run. */
  #isStuck = false;
  #operations = 0;

  constructor(tell: Tell, beGuest: (booted: Booted) => Guest, end: () => void) {
    this.#tell = tell;
    this.#beGuest = beGuest;
    this.#end = end;
  }

  get cmdline(): string {
    return this.#config?.payload?.cmdline ?? '';
  }

  answer(asked: Asked): Answer {
    const request = /^\/api\/v1\/(.+)$/.exec(asked.path)?.[1] ?? '';
    try {
      if (!GET.includes(request) && !PUT.includes(request)) throw new Refusal(404, 'Not Found');
      if (!(asked.method === 'GET' ? GET : PUT).includes(request)) throw new Refusal(400, 'Bad Request');
      const body = this.#do(request, asked);
      if (body === ENDED) return { status: 200 };
      return body === undefined ? { status: 204 } : { status: 200, body };
    } catch (error) {
      if (error instanceof Refusal) return { status: error.status, body: error.chain };
      throw error;
    }
  }

  /** The guest has powered itself off. @param stays - the process stays for it */
  powerOff(stays: boolean): void {
    this.#shutdown();
    if (stays) return;
    this.#delete();
    this.#tell('vmm', 'shutdown');
    this.#end();
  }

  /** By the guest. */
  reset(): void {
    this.#tell('vm', 'rebooting');
    this.#reboot();
  }

  /** As for SIGTERM. */
  terminate(): void {
    if (this.#guest) this.#shutdown();
    this.#delete();
    this.#tell('vmm', 'shutdown');
  }

  #do(request: string, { body, descriptors }: Asked): unknown {
    const fail = (what: string, ...words: string[]): never => {
      throw new Refusal(
        /not created$|config is missing$/.test(words[0] ?? '') ? 404 : 500,
        'Error from API',
        what,
        ...words,
      );
    };
    switch (request) {
      case 'vmm.ping':
        return { build_version: BUILD, version: VERSION, pid: process.pid, features: ['io_uring', 'kvm'] };
      case 'vm.info':
        if (!this.#config) return fail('The VM info is not available', 'VM is not created');
        return { config: this.#config, state: this.#state, memory_actual_size: this.#config.memory?.size ?? 2 ** 29 };
      case 'vm.counters':
        if (!this.#guest) return fail('The VM info is not available', 'VM is not running');
        return this.#counters();
      case 'vm.create': {
        if (this.#config) return fail('The VM could not be created', 'VM is already created');
        this.#config = parse(body, VM) as VmConfig;
        // Made, and told of as failed: as for a console's file whose directory is not there.
        this.#confine(this.#config);
        if (this.cmdline.includes('stand-in=half-made'))
          return fail('The VM could not be created', 'Error creating console device', 'it was told to');
        return undefined;
      }
      case 'vm.delete':
        if (this.#guest || this.#isStuck) this.#shutdown();
        this.#delete();
        return undefined;
      case 'vm.add-net': {
        if (!this.#config) return fail('The network device could not be added to the VM', 'VM is not created');
        const net = parse(body, NET) as Net;
        if (this.#config.net?.some(({ id }) => id !== undefined && id === net.id))
          throw new Refusal(
            409,
            'Error from API',
            'The network device could not be added to the VM',
            'Failed to validate config',
            `Identifier ${net.id} is not unique`,
          );
        this.#validate('The network device could not be added to the VM', this.#config);
        const [device] = descriptors;
        this.#config = {
          ...this.#config,
          net: [...(this.#config.net ?? []), { ...net, ...(device !== undefined && { device }) }],
        };
        return undefined;
      }
      case 'vm.boot':
        if (this.#guest || this.#isStuck) return fail('The VM could not boot', 'VM is already created');
        this.#tell('vm', 'booting');
        if (!this.#config) return fail('The VM could not boot', 'VM config is missing');
        this.#boot('The VM could not boot');
        this.#tell('vm', 'booted');
        return undefined;
      case 'vm.pause':
      case 'vm.resume': {
        const pauses = request === 'vm.pause';
        const what = pauses ? 'The VM could not be paused' : 'The VM could not resume';
        const state = pauses ? 'Paused' : 'Running';
        if (!this.#guest) return fail(what, 'VM is not running');
        if (this.#isPaused === pauses)
          return fail(what, `Invalid transition: InvalidStateTransition(${state}, ${state})`);
        this.#tell('vm', pauses ? 'pausing' : 'resuming');
        this.#isPaused = pauses;
        if (pauses) this.#guest.pause();
        else this.#guest.resume();
        if (pauses) this.#vsock?.pause();
        else this.#vsock?.resume();
        this.#tell('vm', pauses ? 'paused' : 'resumed');
        return undefined;
      }
      case 'vm.shutdown':
        if (!this.#guest) return fail('The VM could not shutdown', 'VM is not running');
        this.#shutdown();
        return undefined;
      case 'vm.reboot':
        this.#tell('vm', 'rebooting');
        if (!this.#guest) return fail('The VM could not reboot', 'VM is not created');
        this.#reboot();
        return undefined;
      case 'vm.power-button':
        if (!this.#guest) return fail('Error triggering power button', 'VM is not running');
        this.#guest.pressPower();
        return undefined;
      default:
        this.terminate();
        setImmediate(this.#end); // it is answered before
        return ENDED;
    }
  }

  get #state(): string {
    if (!this.#guest) return 'Created';
    return this.#isPaused ? 'Paused' : 'Running';
  }

  #counters(): Readonly<Record<string, unknown>> {
    const disks = (this.#config?.disks ?? []).map((_, i) => [
      `_disk${i}`,
      { read_ops: ++this.#operations, write_ops: 1, read_bytes: 512, write_bytes: 512 },
    ]);
    const nets = (this.#config?.net ?? []).map(({ id }, i) => [id ?? `_net${i}`, { rx_frames: 0, tx_frames: 0 }]);
    return Object.fromEntries([...disks, ...nets]);
  }

  #delete(): void {
    if (!this.#config) return;
    this.#config = undefined;
    this.#tell('vm', 'deleted');
  }

  #shutdown(): void {
    this.#halt();
    this.#tell('vm', 'shutdown');
  }

  #reboot(): void {
    this.#halt();
    this.#boot('The VM could not reboot');
    this.#tell('vm', 'rebooted');
  }

  #halt(): void {
    this.#guest?.end();
    this.#guest = undefined;
    // With the file: it is made anew at the next boot.
    this.#vsock?.close();
    this.#vsock = undefined;
    this.#isStuck = false;
    for (const fd of this.#open) closeSync(fd);
    this.#open = [];
    this.#isPaused = false;
  }

  /** By what stands in its configuration, and by rules. @see vmm/src/vm_config.rs, ApplyLandlock */
  #confine({ landlock_enable: isConfined = false, landlock_rules: rules = [], ...config }: VmConfig): void {
    if (!isConfined) return;
    const before = this.#mayOpen;
    const { payload, disks = [], rng, vsock } = config;
    const may = confined([
      ...[payload?.kernel, payload?.initramfs, rng?.src ?? '/dev/urandom']
        .filter((path) => path !== undefined)
        .map((path) => ({ path, access: 'r' })),
      ...disks.map(({ path = '' }) => ({ path, access: 'rw' })),
      ...(vsock ? [{ path: dirname(vsock.socket), access: 'w' }] : []),
      ...rules,
    ]);
    this.#mayOpen = (...asked) => before(...asked) && may(...asked);
  }

  /** What does not ask the host, but for paths of rules. */
  #validate(what: string, { payload, cpus, net = [], vsock, landlock_rules: rules = [] }: VmConfig): void {
    const invalid = (words: string): Refusal =>
      new Refusal(400, 'Error from API', what, 'Failed to validate config', words);
    if (payload?.kernel === undefined) throw invalid('Payload configuration is not bootable');
    if (cpus && cpus.max_vcpus < cpus.boot_vcpus)
      throw invalid(`Max CPUs (${cpus.max_vcpus}) lower than boot CPUs (${cpus.boot_vcpus})`);
    if (vsock && vsock.cid < FIRST_GUEST_CID) throw invalid(`Invalid VSOCK CID (${vsock.cid}), must be 3 or greater`);
    for (const { num_queues: queues = 2 } of net)
      if (queues < 2) throw invalid(`Number of queues to virtio_net less than 2 (${queues})`);
    for (const { path, access } of rules) {
      if (!existsSync(path)) throw invalid(`Path "${path}" provided in landlock-rules does not exist`);
      if (access === '') throw invalid('Invalid landlock access: Invalid Landlock access: Access cannot be empty');
      const [odd] = access.replaceAll(/[rw]/g, '');
      if (odd !== undefined) throw invalid(`Invalid landlock access: Invalid Landlock access: Invalid access: ${odd}`);
    }
  }

  #boot(what: string): void {
    const config = this.#config ?? {};
    const { cpus, memory, net = [], vsock, serial, pvpanic = false } = config;
    this.#validate(what, config);
    using opening = new Opening(what, this.#mayOpen);
    const disks = opening.devices(config);
    if (vsock) this.#vsock = opening.vsock(vsock.socket);
    // Its devices are there: with a kernel that cannot be loaded it is neither made nor running.
    this.#isStuck = true;
    opening.payload(config.payload);
    this.#isStuck = false;
    this.#open = opening.keep();
    const speaks = serial?.mode === 'Tty';
    const booted = {
      cpus: cpus?.boot_vcpus ?? 1,
      megabytes: (memory?.size ?? 2 ** 29) / 2 ** 20,
      cmdline: this.cmdline,
    };
    this.#guest = this.#beGuest({ ...booted, disks, nets: net, speaks, pvpanic });
    if (!this.cmdline.includes('stand-in=no-agent')) this.#vsock?.begin();
  }
}

import { setImmediate as turn } from 'node:timers/promises';
import { Fault } from '../../src/domain/fault.ts';
import type { KernelFacts } from '../../src/domain/kernel-facts.ts';
import type { FileInfo, Files, ProcessIdentity } from '../../src/ports/host.ts';
import type { Images, ImageWay } from '../../src/ports/images.ts';
import type { CidataDisks, MetadataServer } from '../../src/ports/metadata-server.ts';
import type { HostInterface, Surroundings, TakenLease } from '../../src/ports/network.ts';
import type { WayFound } from '../../src/ports/network-probe.ts';
import type { Flaw } from '../../src/ports/network-watch.ts';
import type { GuestState, MetadataTree, Vmm, VmmEnd } from '../../src/ports/vmm.ts';
import type { Volumes } from '../../src/ports/volumes.ts';

/** What happens when a port is called, before the call has its effect: it may wait, throw, or do nothing. */
export type Behaviour = (signal: AbortSignal) => Promise<void> | void;

/** Waits for the signal: a tool that hangs and is ended. */
export const hang: Behaviour = (signal) =>
  new Promise((_, reject) => {
    const end = (): void => reject(signal.reason);
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true });
  });
export const fail =
  (error: Error): Behaviour =>
  () => {
    throw error;
  };

/** The daemon's life that calls: one that is dead does nothing any more, whatever its promises still hold. */
export interface Caller {
  readonly dead: boolean;
  /** Whether the ledger names a thing. */
  isNamed(name: string): boolean;
}

export interface FakeProcess {
  readonly identity: ProcessIdentity;
  readonly argv: readonly string[];
  guest: GuestState;
  readonly listeners: Set<() => void>;
  bootedAt: number;
  readonly bootListeners: Set<() => void>;
  readonly ended: Promise<VmmEnd>;
  readonly end: (end: VmmEnd) => void;
}

const never = <T>(): Promise<T> => new Promise(() => undefined);
export const VMM_PROGRAM = 'fake-vmm';

/** The host beside the daemon: it goes on when a daemon's life ends. Nothing is made on it that the ledger does not name. */
export class FakeWorld {
  readonly paths = new Map<string, FileInfo['kind']>();
  readonly interfaces = new Map<string, HostInterface>();
  /** Where other programs of the host listen. */
  readonly takenPorts = new Set<number>();
  readonly tables = new Set<string>();
  /** Why they cannot be listed. */
  tablesFault: Fault | undefined;
  readonly guards = new Set<string>();
  readonly ports = new Set<string>();
  readonly rules = new Set<string>();
  /** What VMMs answer with that are asked for metadata themselves, by uid. */
  readonly answered = new Map<string, MetadataTree>();
  /** What leads guests to the metadata service. */
  readonly ways = new Set<string>();
  readonly processes = new Map<number, FakeProcess>();
  readonly cgroups = new Set<string>();
  /** What tries the ways of guests, by device. */
  readonly probes = new Set<string>();
  /** For `NetworkProbe.tryWays`. */
  waysFound: readonly WayFound[] = [];
  /** For `Wholeness.flaws`, beside what is not there. */
  flaws: readonly Flaw[] = [];
  /** Every call, in order: `tap`, `undo tap`, … */
  /** What the next VMMs take for their taps. */
  readonly strays: string[] = [];
  readonly calls: string[] = [];
  /** How often each thing came to be. */
  readonly made = new Map<string, number>();
  /** What was done and the ledger did not name: a breach of promise 2. */
  readonly breaches: string[] = [];
  readonly leases: TakenLease[] = [];
  readonly leaseListeners = new Set<() => void>();
  /** For {@link Images.check}. */
  readonly badImages = new Map<string, string>();
  /** For {@link Images.way}, by policy and reference: `NEVER registry.test/x:v1`. */
  readonly imageWays = new Map<string, ImageWay>();
  /** What the VMM cannot do, for {@link Vmm.check}. */
  violations: ReturnType<Vmm['check']> = [];
  /** Of every kernel. */
  kernelFacts: KernelFacts = {};
  available = true;
  forwards = false;
  /** For {@link Surroundings.overlaps}. */
  overlap: string | undefined;
  bootId = 'boot-1';
  /** Whether guests have a power button. */
  acpi = true;
  /** Whether guests power themselves off when it is pressed. */
  obeysPower = true;
  /** For {@link Surroundings.parentUnfit}. */
  parentUnfit: string | undefined;
  readonly #next = new Map<string, Behaviour[]>();
  readonly #always = new Map<string, Behaviour>();
  #pid = 1000;

  /** The next calls of this name behave so, one each. */
  next(call: string, ...behaviours: readonly Behaviour[]): void {
    this.#next.set(call, [...(this.#next.get(call) ?? []), ...behaviours]);
  }

  /** Every call of this name behaves so; undefined: as usual again. */
  always(call: string, behaviour: Behaviour | undefined): void {
    if (behaviour) this.#always.set(call, behaviour);
    else this.#always.delete(call);
  }

  async act<T>(caller: Caller, call: string, signal: AbortSignal, effect: () => T): Promise<T> {
    if (caller.dead) return never();
    signal.throwIfAborted();
    this.calls.push(call);
    const behaviour = this.#next.get(call)?.shift() ?? this.#always.get(call);
    await behaviour?.(signal);
    if (caller.dead) return never();
    return effect();
  }

  /** Notes that a thing came to be. `name` is what the ledger's intent must hold. */
  come(caller: Caller, kind: string, name: string): void {
    if (!caller.isNamed(name)) this.breaches.push(`${kind} ${name} was made and the ledger does not name it`);
    this.made.set(`${kind} ${name}`, (this.made.get(`${kind} ${name}`) ?? 0) + 1);
  }

  addPath(path: string, kind: FileInfo['kind']): void {
    for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1))
      if (!this.paths.has(path.slice(0, at))) this.paths.set(path.slice(0, at), 'directory');
    this.paths.set(path, kind);
  }

  removePath(path: string): void {
    for (const one of [...this.paths.keys()]) if (one === path || one.startsWith(`${path}/`)) this.paths.delete(one);
  }

  startProcess(argv: readonly string[]): FakeProcess {
    const pid = this.#pid++;
    const { promise: ended, resolve: end } = Promise.withResolvers<VmmEnd>();
    const identity = { pid, startTime: String(pid * 10), bootId: this.bootId };
    const process: FakeProcess = {
      identity,
      argv,
      guest: 'running',
      listeners: new Set(),
      bootedAt: 0,
      bootListeners: new Set(),
      ended,
      end,
    };
    this.processes.set(pid, process);
    return process;
  }

  /** The host is booted anew: what was not on its disk is gone. No daemon lives meanwhile. */
  boot(): void {
    this.bootId = `${this.bootId}+`;
    for (const one of [
      this.processes,
      this.cgroups,
      this.interfaces,
      this.tables,
      this.guards,
      this.ports,
      this.rules,
      this.ways,
      this.probes,
    ])
      one.clear();
    this.leaseListeners.clear();
    this.forwards = false;
    for (const path of [...this.paths.keys()]) if (path.startsWith('/run/')) this.paths.delete(path);
    this.made.clear();
  }

  /** The process ends, as seen by whoever watches. */
  kill(pid: number, end: VmmEnd): void {
    const process = this.processes.get(pid);
    this.processes.delete(pid);
    process?.end(end);
  }

  /** The VMM says something else of its guest. */
  say(pid: number, guest: GuestState): void {
    const process = this.processes.get(pid);
    if (!process) throw new Error(`no process ${pid}`);
    process.guest = guest;
    for (const listener of process.listeners) listener();
  }

  /** The guest resets itself. @param bootedAt - how long its console is by then, in bytes */
  reset(pid: number, bootedAt: number): void {
    const process = this.processes.get(pid);
    if (!process) throw new Error(`no process ${pid}`);
    process.bootedAt = bootedAt;
    for (const listener of process.bootListeners) listener();
  }

  /** The pids of the VMMs that run for a microVM. */
  vmmsOf(uid: string): readonly number[] {
    return [...this.processes.values()]
      .filter((p) => p.argv[0] === VMM_PROGRAM && p.argv.includes(uid))
      .map((p) => p.identity.pid);
  }

  /** Everything of a microVM that is on the host. */
  thingsOf(uid: string): readonly string[] {
    const tail = uid.slice(-6).toLowerCase();
    return [
      ...[...this.paths.keys(), ...this.cgroups].filter((path) => path.includes(uid)),
      ...[...this.interfaces.keys(), ...this.guards].filter((name) => name.includes(tail)),
      ...this.ports,
      ...this.ways,
      ...this.vmmsOf(uid).map(String),
    ];
  }
}

export function fakeFiles(world: FakeWorld, caller: Caller): Files {
  const signal = new AbortController().signal;
  const unexpected = (what: string) => () => {
    throw new Error(`unexpected: ${what}`);
  };
  return {
    makeDirectory: (path) =>
      world.act(caller, 'directory', signal, () => {
        if (world.paths.has(path)) return;
        world.come(caller, 'directory', path);
        world.addPath(path, 'directory');
      }),
    remove: (path) => world.act(caller, 'undo directory', signal, () => world.removePath(path)),
    async list(path) {
      await turn();
      const names = [...world.paths.keys()]
        .filter((one) => one.startsWith(`${path}/`))
        .map((one) => one.slice(path.length + 1).split('/')[0] ?? '');
      return [...new Set(names)].sort();
    },
    async stat(path) {
      const kind = world.paths.get(path);
      return kind && { kind, sizeBytes: 0, diskBytes: 0, mode: 0o600 };
    },
    read: async () => undefined,
    write: unexpected('write'),
    rename: unexpected('rename'),
    readLink: unexpected('readLink'),
    opens: unexpected('opens'),
    realPath: async (path) => path,
    firstFile: async () => undefined,
    freeBytes: async () => 2 ** 40,
    freeInodes: async () => 2 ** 30,
    copy: unexpected('copy'),
    watch: unexpected('watch'),
    punch: unexpected('punch'),
    own: unexpected('own'),
    setMode: unexpected('setMode'),
    typeInto: unexpected('typeInto'),
    takeFrom: unexpected('takeFrom'),
    pinSocket: unexpected('pinSocket'),
    overwrite: unexpected('overwrite'),
    writeSparse: unexpected('writeSparse'),
    removeDirectory: unexpected('removeDirectory'),
  };
}

export function fakeImages(world: FakeWorld, caller: Caller): Images {
  return {
    check: async (reference) => world.badImages.get(reference),
    ensure: (reference, { signal, onBytes }) =>
      world.act(caller, 'image', signal, () => {
        onBytes?.(1, 1);
        const digest = `sha256:${Buffer.from(reference).toString('hex').padEnd(64, '0').slice(0, 64)}`;
        return { digest, tree: `/state/images/trees/${digest}` };
      }),
    way: async (reference, pull) => world.imageWays.get(`${pull} ${reference}`) ?? { is: 'local' },
    cached: async () => undefined,
    bootFiles: async (image, { kernel, initrd }) => {
      const at = (filename: string) => ({ filename, path: `${image.tree}/${filename}` });
      return {
        ...(kernel && { kernel: { ...at(kernel.filename ?? 'kernel'), facts: world.kernelFacts } }),
        ...(initrd && { initrd: at(initrd.filename ?? 'initrd') }),
      };
    },
    golden: (image, { signal }) =>
      world.act(caller, 'golden', signal, () => ({ path: `/state/images/golden/${image.digest}`, sizeInMb: 64 })),
    says: () => undefined,
    recover: async () => undefined,
  };
}

export function fakeVolumes(world: FakeWorld, caller: Caller): Volumes {
  return {
    kindFor: () => 'sparse',
    inMemory: false,
    pathFor: (directory, index) => `${directory}/disk${index}`,
    make: ({ sizeInMb }, path, signal) =>
      world.act(caller, 'volume', signal, () => {
        if (!world.paths.has(path)) world.come(caller, 'file', path);
        world.addPath(path, 'file');
        return { path, format: 'raw', sizeInMb };
      }),
    remove: (path, signal) => world.act(caller, 'undo volume', signal, () => world.removePath(path)),
  };
}

export function fakeCidata(world: FakeWorld, caller: Caller): CidataDisks {
  const signal = new AbortController().signal;
  return {
    make: (path, _vm, _nics, limited) =>
      world.act(caller, 'cidata', limited, () => {
        if (!world.paths.has(path)) world.come(caller, 'file', path);
        world.addPath(path, 'file');
      }),
    remove: (path) => world.act(caller, 'undo cidata', signal, () => world.removePath(path)),
  };
}

/** Its sockets are the daemon's: they end with its life. */
export function fakeMetadata(world: FakeWorld, served: Map<string, number>): MetadataServer {
  return {
    async serve(uid, { port }) {
      if (served.get(uid) === port) return;
      if (world.takenPorts.has(port))
        throw new Fault('conflict', `Cannot serve metadata on port ${port}: another program listens there`, {
          reason: 'NetworkFailed',
        });
      served.set(uid, port);
    },
    async unserve(uid, _address) {
      served.delete(uid);
    },
  };
}

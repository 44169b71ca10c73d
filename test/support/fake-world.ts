import { setImmediate as turn } from 'node:timers/promises';
import { Fault } from '../../src/domain/fault.ts';
import { type Cidr, parseCidr } from '../../src/domain/ipv4.ts';
import type { Cgroups } from '../../src/ports/cgroups.ts';
import type { FileInfo, Files, Processes, ProcessIdentity, ProcessInfo } from '../../src/ports/host.ts';
import type { Images } from '../../src/ports/images.ts';
import type { CidataDisks, MetadataServer } from '../../src/ports/metadata.ts';
import type {
  FirewallElements,
  HostInterface,
  HostRule,
  Macvtaps,
  MetadataPaths,
  Network,
  PortGuards,
  Publisher,
  Surroundings,
  TakenLease,
} from '../../src/ports/network.ts';
import type { GuestState, RunningVmm, Vmm, VmmConfig, VmmEnd, VmmInfo } from '../../src/ports/vmm.ts';
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

interface FakeProcess {
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
  readonly tables = new Set<string>();
  /** Why they cannot be listed. */
  tablesFault: Fault | undefined;
  readonly guards = new Set<string>();
  readonly ports = new Set<string>();
  readonly rules = new Set<string>();
  /** What leads guests to the metadata service. */
  readonly ways = new Set<string>();
  readonly processes = new Map<number, FakeProcess>();
  readonly cgroups = new Set<string>();
  /** Every call, in order: `tap`, `undo tap`, … */
  readonly calls: string[] = [];
  /** How often each thing came to be. */
  readonly made = new Map<string, number>();
  /** What was done and the ledger did not name: a breach of promise 2. */
  readonly breaches: string[] = [];
  readonly leases: TakenLease[] = [];
  readonly leaseListeners = new Set<() => void>();
  /** For {@link Images.check}. */
  readonly badImages = new Map<string, string>();
  /** What the VMM cannot do, for {@link Vmm.check}. */
  violations: ReturnType<Vmm['check']> = [];
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
    realPath: async (path) => path,
    freeBytes: async () => 2 ** 40,
    copy: unexpected('copy'),
    watch: unexpected('watch'),
    punch: unexpected('punch'),
    overwrite: unexpected('overwrite'),
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
    file: async (image, role, filename = role) => ({ filename, path: `${image.tree}/${filename}` }),
    golden: (image, { signal }) =>
      world.act(caller, 'golden', signal, () => ({ path: `/state/images/golden/${image.digest}`, sizeInMb: 64 })),
    recover: async () => undefined,
  };
}

export function fakeVolumes(world: FakeWorld, caller: Caller): Volumes {
  return {
    kind: 'sparse',
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
export function fakeMetadata(served: Map<string, number>): MetadataServer {
  return {
    async serve(uid, { port }) {
      served.set(uid, port);
    },
    async unserve(uid, _address) {
      served.delete(uid);
    },
  };
}

export function fakeNetwork(
  world: FakeWorld,
  caller: Caller,
): Network & PortGuards & Publisher & MetadataPaths & Macvtaps & Surroundings & FirewallElements {
  const signal = new AbortController().signal;
  const addInterface = (device: string, alias: string, kind: string, master: string): HostInterface => {
    const there = world.interfaces.get(device);
    if (there) return there;
    world.come(caller, 'interface', device);
    const made = { device, index: world.interfaces.size + 2, mac: '02:00:00:00:00:01', alias, kind, master };
    world.interfaces.set(device, made);
    return made;
  };
  const addTable = (family: string, table: string): void => {
    if (!world.tables.has(`${family} ${table}`)) world.come(caller, `${family} table`, table);
    world.tables.add(`${family} ${table}`);
  };
  const dhcpOf = (directory: string): FakeProcess | undefined =>
    [...world.processes.values()].find((p) => p.argv.includes(`--dhcp-hostsdir=${directory}/hosts`));
  return {
    addTap: ({ device, alias, bridge }, limited) =>
      world.act(caller, 'tap', limited, () => {
        const { index, mac } = addInterface(device, alias, 'tun', bridge);
        return { index, mac };
      }),
    removeTap: ({ device }, limited) =>
      world.act(caller, 'undo tap', limited, () => void world.interfaces.delete(device)),
    addLease: ({ directory, file }, limited) =>
      world.act(caller, 'lease', limited, () => {
        if (!world.paths.has(`${directory}/hosts/${file}`)) world.come(caller, 'lease', file);
        world.addPath(`${directory}/hosts/${file}`, 'file');
      }),
    removeLease: ({ directory, file }, limited) =>
      world.act(caller, 'undo lease', limited, () => world.removePath(`${directory}/hosts/${file}`)),
    addGuards: ({ table }, limited) => world.act(caller, 'guards', limited, () => addTable('bridge', table)),
    removeGuards: ({ table }, limited) =>
      world.act(caller, 'undo guards', limited, () => void world.tables.delete(`bridge ${table}`)),
    addGuard: ({ device }, limited) =>
      world.act(caller, 'guard', limited, () => {
        if (!world.guards.has(`guard of ${device}`)) world.come(caller, 'guard', device);
        world.guards.add(`guard of ${device}`);
      }),
    removeGuard: ({ device }, limited) =>
      world.act(caller, 'undo guard', limited, () => void world.guards.delete(`guard of ${device}`)),
    addPublishing: ({ table }, limited) => world.act(caller, 'publishing', limited, () => addTable('ip', table)),
    removePublishing: ({ table }, limited) =>
      world.act(caller, 'undo publishing', limited, () => void world.tables.delete(`ip ${table}`)),
    addPorts: ({ address, ports }, limited) =>
      world.act(caller, 'publish', limited, () => {
        for (const { hostPort } of ports) {
          if (!world.ports.has(`${hostPort} to ${address}`)) world.come(caller, 'port', String(hostPort));
          world.ports.add(`${hostPort} to ${address}`);
        }
      }),
    removePorts: ({ address, ports }, limited) =>
      world.act(caller, 'undo publish', limited, () => {
        for (const { hostPort } of ports) world.ports.delete(`${hostPort} to ${address}`);
      }),
    addMetadataPath: ({ table, routes }, limited) =>
      world.act(caller, 'metadata-path', limited, () => {
        for (const family of ['inet', 'bridge']) addTable(family, table);
        if (!world.rules.has(String(routes))) world.come(caller, 'rule', String(routes));
        world.rules.add(String(routes));
      }),
    removeMetadataPath: ({ table, routes }, limited) =>
      world.act(caller, 'undo metadata-path', limited, () => {
        for (const family of ['inet', 'bridge']) world.tables.delete(`${family} ${table}`);
        world.rules.delete(String(routes));
      }),
    addMetadataPort: ({ devices, port }, limited) =>
      world.act(caller, 'metadata', limited, () => {
        if (!world.ways.has(`${devices} to ${port}`)) world.come(caller, 'way', String(port));
        world.ways.add(`${devices} to ${port}`);
      }),
    removeMetadataPort: ({ devices, port }, limited) =>
      world.act(caller, 'undo metadata', limited, () => void world.ways.delete(`${devices} to ${port}`)),
    addMacvtapGuards: ({ table }, limited) =>
      world.act(caller, 'macvtap-guards', limited, () => addTable('netdev', table)),
    removeMacvtapGuards: ({ table }, limited) =>
      world.act(caller, 'undo macvtap-guards', limited, () => void world.tables.delete(`netdev ${table}`)),
    addMacvtap: ({ device, alias, parent }, limited) =>
      world.act(caller, 'macvtap', limited, () => {
        if (world.parentUnfit !== undefined) throw new Fault('tool', `Cannot find device "${parent}"`);
        const { index, mac } = addInterface(device, alias, 'macvtap', '');
        return { index, mac, node: `/dev/tap${index}` };
      }),
    removeMacvtap: ({ device }, limited) =>
      world.act(caller, 'undo macvtap', limited, () => void world.interfaces.delete(device)),
    addMacvtapPath: ({ table, device, alias, routes }, limited) =>
      world.act(caller, 'macvtap-path', limited, () => {
        addInterface(device, alias, 'macvlan', '');
        addTable('inet', table);
        if (!world.rules.has(String(routes))) world.come(caller, 'rule', String(routes));
        world.rules.add(String(routes));
      }),
    removeMacvtapPath: ({ table, device, routes }, limited) =>
      world.act(caller, 'undo macvtap-path', limited, () => {
        world.interfaces.delete(device);
        world.tables.delete(`inet ${table}`);
        world.rules.delete(String(routes));
      }),
    addMacvtapPort: ({ device, port }, limited) =>
      world.act(caller, 'macvtap-metadata', limited, () => {
        if (!world.ways.has(`${device} to ${port}`)) world.come(caller, 'way of macvtap', String(port));
        world.ways.add(`${device} to ${port}`);
      }),
    removeMacvtapPort: ({ device, port }, limited) =>
      world.act(caller, 'undo macvtap-metadata', limited, () => void world.ways.delete(`${device} to ${port}`)),
    async rules(): Promise<readonly HostRule[]> {
      await turn();
      return [...world.rules].map((routes) => ({ priority: 1, routes, text: `lookup ${routes}` }));
    },
    removeRules: (routes, limited) =>
      world.act(caller, `fix rule ${routes}`, limited, () => void world.rules.delete(String(routes))),
    async elements() {
      await turn();
      return [...world.guards, ...world.ports, ...world.ways].map((name) => ({ name, removal: name }));
    },
    elementsOf(step) {
      switch (step.kind) {
        case 'guard':
          return [`guard of ${step.intent.device}`];
        case 'publish':
          return step.intent.ports.map(({ hostPort }) => `${hostPort} to ${step.intent.address}`);
        case 'metadata':
          return [`${step.intent.devices} to ${step.intent.port}`];
        case 'macvtap-metadata':
          return [`${step.intent.device} to ${step.intent.port}`];
        case 'macvtap':
          return [];
        default:
          return step satisfies never;
      }
    },
    removeElement: ({ name }, limited) =>
      world.act(caller, `fix ${name}`, limited, () => {
        for (const set of [world.guards, world.ports, world.ways]) set.delete(name);
      }),
    async routeTables() {
      await turn();
      return [...world.rules];
    },
    overlaps: async () => world.overlap,
    freeCidr: async () => '10.77.0.0/24',
    forwardingBlocked: async () => undefined,
    ownAddresses: async () => ['127.0.0.0/8'],
    listeners: async () => [],
    bridgeMissing: async () => undefined,
    parentUnfit: async () => world.parentUnfit,
    addBridge: ({ bridge, alias }, limited) =>
      world.act(caller, 'bridge', limited, () => void addInterface(bridge, alias, 'bridge', '')),
    removeBridge: ({ bridge }, limited) =>
      world.act(caller, 'undo bridge', limited, () => void world.interfaces.delete(bridge)),
    addFirewall: ({ table }, limited) => world.act(caller, 'firewall', limited, () => addTable('inet', table)),
    removeFirewall: ({ table }, limited) =>
      world.act(caller, 'undo firewall', limited, () => void world.tables.delete(`inet ${table}`)),
    startDhcp: ({ directory }, limited) =>
      world.act(caller, 'dhcp', limited, () => {
        world.addPath(`${directory}/hosts`, 'directory');
        if (dhcpOf(directory)) return;
        world.come(caller, 'dhcp', directory);
        world.startProcess(['dnsmasq', `--dhcp-hostsdir=${directory}/hosts`]);
      }),
    stopDhcp: ({ directory }, limited) =>
      world.act(caller, 'undo dhcp', limited, () => {
        const process = dhcpOf(directory);
        if (process) world.processes.delete(process.identity.pid);
        world.removePath(directory);
      }),
    dhcpRuns: ({ directory }) =>
      world.act(caller, 'look at dhcp', signal, () => dhcpOf(directory) !== undefined && world.tables.size > 0),
    forwarding: async () => world.forwards,
    setForwarding: (on) =>
      world.act(caller, on ? 'forwarding' : 'undo forwarding', signal, () => {
        world.forwards = on;
      }),
    taken: async () => world.leases,
    onTaken(_dhcp, changed) {
      world.leaseListeners.add(changed);
      return () => world.leaseListeners.delete(changed);
    },
    async interfaces() {
      await turn();
      return [...world.interfaces.values()];
    },
    async tables() {
      await turn();
      if (world.tablesFault) throw world.tablesFault;
      return [...world.tables];
    },
    removeInterface: (name, limited) =>
      world.act(caller, `fix interface ${name}`, limited, () => {
        world.interfaces.delete(name);
        world.tables.delete(name);
      }),
  };
}

export function fakeProcesses(world: FakeWorld, caller: Caller): Processes {
  const signal = new AbortController().signal;
  const infoOf = ({ identity, argv }: FakeProcess): ProcessInfo => ({ ...identity, argv, exe: '', zombie: false });
  return {
    start: () => {
      throw new Error('unexpected: start');
    },
    moveInto: () => {
      throw new Error('unexpected: moveInto');
    },
    async inspect({ pid }) {
      const process = world.processes.get(pid);
      return process && infoOf(process);
    },
    async find(match) {
      await turn();
      return [...world.processes.values()].filter((p) => match(p.argv)).map(infoOf);
    },
    signal: ({ pid }, isOurs) =>
      world.act(caller, 'fix process', signal, () => {
        const process = world.processes.get(pid);
        if (!process || !isOurs(process.argv)) return false;
        world.kill(pid, { reason: 'VmmKilled', message: 'ended by SIGKILL' });
        return true;
      }),
    ended: async () => undefined,
    bootId: async () => world.bootId,
    oomCounter: async () => undefined,
  };
}

export function fakeCgroups(world: FakeWorld, caller: Caller): Cgroups {
  const signal = new AbortController().signal;
  return {
    of: (uid, { memoryInMb }) => [
      { parent: '/cgroups/ours', directory: `/cgroups/ours/${uid}`, set: { max: String(memoryInMb) }, enable: [] },
    ],
    make: (intents, limited) =>
      world.act(caller, 'cgroup', limited, () => {
        for (const { directory } of intents) {
          if (!world.cgroups.has(directory)) world.come(caller, 'cgroup', directory);
          world.cgroups.add(directory);
        }
      }),
    remove: (intents) =>
      world.act(caller, 'undo cgroup', signal, () => {
        for (const { directory } of intents) world.cgroups.delete(directory);
      }),
    async list() {
      await turn();
      return [...world.cgroups].map((directory) => ({ parent: '/cgroups/ours', directory }));
    },
  };
}

export function fakeVmm(world: FakeWorld, caller: Caller): Vmm {
  const sockets = ({ runDirectory }: Pick<VmmConfig, 'runDirectory'>): string[] => [`${runDirectory}/qmp.sock`];
  const consolePath = ({ stateDirectory }: Pick<VmmConfig, 'stateDirectory'>): string =>
    `${stateDirectory}/console.log`;
  /** Whom this daemon watches: who is started or taken over again is the same. */
  const watched = new Map<FakeProcess, RunningVmm>();
  const watch = (process: FakeProcess): RunningVmm => {
    const running = watched.get(process) ?? watchAnew(process);
    watched.set(process, running);
    return running;
  };
  const watchAnew = (process: FakeProcess): RunningVmm => {
    let released = false;
    return {
      process: process.identity,
      accelerator: 'tcg',
      get guest() {
        return process.guest;
      },
      onGuest(changed) {
        process.listeners.add(() => {
          if (!released && !caller.dead) changed(process.guest);
        });
      },
      get bootedAt() {
        return process.bootedAt;
      },
      onBoot(begun) {
        process.bootListeners.add(() => {
          if (!released && !caller.dead) begun();
        });
      },
      ended: process.ended.then((end) => (caller.dead || released ? never() : end)),
      release() {
        released = true;
        watched.delete(process);
      },
      pressPower: (signal) =>
        world.act(caller, 'press power', signal, () => {
          if (!world.acpi) return false;
          const { pid } = process.identity;
          if (world.obeysPower) world.kill(pid, { reason: 'GuestShutdown', message: 'The guest powered itself off' });
          return true;
        }),
      reboot: (_patience, signal) => world.act(caller, 'reboot', signal, () => undefined),
      pause: (signal) => world.act(caller, 'pause', signal, () => world.say(process.identity.pid, 'paused')),
      resume: (signal) => world.act(caller, 'resume', signal, () => world.say(process.identity.pid, 'running')),
    };
  };
  const info: VmmInfo = {
    name: 'qemu',
    version: '1',
    accelerator: 'tcg',
    acceleratorReason: 'a fake',
    available: true,
    unavailableReason: '',
    capabilities: [],
  };
  return {
    name: 'qemu',
    info: async () =>
      world.available ? info : { ...info, available: false, unavailableReason: 'it is not installed; install it' },
    check: () => world.violations,
    needs: ({ vcpu, memoryInMb }) => ({ memoryInMb: memoryInMb + 100, tasks: vcpu + 10 }),
    start: (config, signal) =>
      world.act(caller, 'vmm', signal, () => {
        const [pid] = world.vmmsOf(config.uid);
        const running = pid === undefined ? undefined : world.processes.get(pid);
        if (running) return watch(running);
        world.come(caller, 'process', config.uid);
        for (const path of [...sockets(config), consolePath(config)]) world.addPath(path, 'file');
        return watch(world.startProcess([VMM_PROGRAM, config.uid, config.stateDirectory]));
      }),
    adopt: (_config, { pid }, signal) =>
      world.act(caller, 'adopt', signal, () => {
        const process = world.processes.get(pid);
        return process ? watch(process) : { reason: 'VmmVanished', message: 'it was gone when the daemon came back' };
      }),
    openConsole: async () => {
      throw new Fault('refused', 'A fake VMM has no console to type on');
    },
    stop: (config, process, signal) =>
      world.act(caller, 'undo vmm', signal, () => {
        const pids = process ? [process.pid] : world.vmmsOf(config.uid);
        for (const pid of pids) world.kill(pid, { reason: 'VmmKilled', message: 'ended by SIGKILL' });
        for (const path of sockets(config)) world.removePath(path);
      }),
    isProgram: (argv) => argv[0] === VMM_PROGRAM,
    consolePath,
    paths: (config) => [...sockets(config), consolePath(config)],
  };
}

/** The network of {@link FakeWorld}. */
export const FAKE_CIDR: Cidr = parseCidr('10.77.0.0/24') ?? { network: 0, prefix: 8 };

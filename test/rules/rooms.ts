/**
 * Who may import whom below src/. A room's own files are always allowed; so
 * are, in its tests, what tests need (see TESTS). Rooms that are not named
 * here are refused: a new room is a decision.
 */
export interface Room {
  /** Other rooms, or single files of them. Siblings of a room with several (vmm/qemu, api/grpc) are strangers unless named. */
  readonly rooms: readonly string[];
  /** Modules of Node, without `node:`. */
  readonly node: readonly string[] | 'any';
  /** npm packages. */
  readonly packages?: readonly string[];
}

const PORTS = ['base', 'domain', 'ports'];

export const ROOMS: Readonly<Record<string, Room>> = {
  // Knows no microVM.
  base: { rooms: [], node: [] },
  // Made by scripts/generate.mjs.
  gen: { rooms: [], node: [], packages: ['@bufbuild/protobuf'] },
  // Pure: no clock, no randomness, no host.
  domain: { rooms: ['base'], node: [] },
  ports: { rooms: ['domain'], node: [] },
  service: { rooms: PORTS, node: [] },
  // zod: the rows of the ledger are parsed by it.
  steps: { rooms: PORTS, node: [], packages: ['zod'] },
  // Trials of the tools and of the kernel, as the daemon tries them; what providers bring of checks.
  doctor: {
    rooms: [...PORTS, 'tools', 'vmm/registry.ts', 'vmm/provider.ts', 'network/kernel-trial.ts'],
    node: [],
  },
  engine: { rooms: [...PORTS, 'steps'], node: [] },
  store: { rooms: PORTS, node: ['sqlite', 'path'] },
  // zlib: kernels and initrds are looked at as they are packed. unpack: the program. tar: archives.
  // steps/cached.ts: what its rows in the ledger hold.
  images: {
    rooms: [...PORTS, 'tar', 'unpack', 'steps/cached.ts'],
    node: ['path', 'crypto', 'stream', 'http', 'net', 'zlib'],
  },
  // Reads archives, of images' layers and of callers: hostile bytes, with no host at hand.
  tar: { rooms: [], node: [] },
  // A program of its own, which the daemon runs to unpack images: what is in layers is read nowhere else.
  unpack: { rooms: ['tar'], node: 'any' },
  // The guest agent's protocol, over any channel.
  agent: { rooms: PORTS, node: [] },
  volumes: { rooms: PORTS, node: ['path', 'crypto', 'stream', 'http', 'net'] },
  // What the probe is told and tells.
  network: { rooms: [...PORTS, 'probe/order.ts'], node: ['path', 'crypto', 'stream', 'http', 'net'] },
  // A program of its own, in a network namespace: a guest that is none.
  probe: { rooms: [], node: 'any' },
  // yaml: meta-data is written in it.
  metadata: { rooms: PORTS, node: ['path', 'crypto', 'stream', 'http', 'net'], packages: ['yaml'] },
  // The programs of the host, one a file: what they are needed for, and how to see that they do it.
  // The unpacker is tried with tar.
  tools: { rooms: [...PORTS, 'unpack'], node: ['path', 'crypto', 'zlib'] },
  // What a provider is, and the registry: the one place that knows all of them.
  vmm: {
    rooms: [
      ...PORTS,
      'doctor/check.ts',
      'vmm/qemu/provider.ts',
      'vmm/firecracker/provider.ts',
      'vmm/cloudhypervisor/provider.ts',
      'vmm/supervisor/starts.ts',
    ],
    node: [],
  },
  // What is true of every VMM's process.
  // http: some are spoken to by it. net: ways into guests are sockets of theirs.
  // tools: whether a VMM's program is as it was tried.
  'vmm/supervisor': {
    rooms: [...PORTS, 'tools/programs.ts', 'tools/tried.ts'],
    node: ['path', 'http', 'stream', 'net'],
  },
  // Its own check of the host is the doctor's kind.
  'vmm/qemu': {
    rooms: [...PORTS, 'tools', 'vmm/supervisor', 'vmm/provider.ts', 'doctor/check.ts', 'doctor/look.ts'],
    node: ['path', 'crypto', 'stream', 'http', 'net'],
  },
  'vmm/firecracker': {
    rooms: [...PORTS, 'tools', 'vmm/supervisor', 'vmm/provider.ts', 'doctor/check.ts', 'doctor/look.ts'],
    node: ['path'],
  },
  'vmm/cloudhypervisor': {
    rooms: [...PORTS, 'tools', 'vmm/supervisor', 'vmm/provider.ts', 'doctor/check.ts', 'doctor/look.ts'],
    node: ['path'],
  },
  // The only hands on the machine.
  host: { rooms: PORTS, node: 'any' },
  api: {
    rooms: [
      ...['base', 'domain', 'service', 'gen', 'tar', 'ports/log.ts', 'ports/clock.ts'],
      ...['ports/guest-agent.ts', 'ports/guest-files.ts', 'ports/guest-ports.ts', 'ports/guest-statistics.ts'],
    ],
    // fs and path: a unix socket's file, made and taken away. async_hooks: whose call it is, see current-caller.ts.
    // zlib and util: requests that are packed, answers that are to be.
    node: ['http', 'http2', 'tls', 'net', 'crypto', 'stream', 'events', 'fs', 'path', 'async_hooks', 'zlib', 'util'],
    // ws: the frames of WebSockets.
    packages: ['@bufbuild/protobuf', '@connectrpc/connect', '@connectrpc/connect-node', 'fastify', 'ws'],
  },
  cli: {
    rooms: ['base', 'gen', 'doctor', 'host'],
    node: ['fs', 'path', 'tls', 'tty', 'net', 'http2'],
    // yaml: specs are written in it; commander: verbs and flags; connect: the client.
    packages: ['@bufbuild/protobuf', '@connectrpc/connect', '@connectrpc/connect-node', 'commander', 'yaml'],
  },
  daemon: {
    rooms: ['any'],
    // perf_hooks: how late the event loop is. diagnostics_channel: how many processes were started.
    node: ['fs', 'path', 'tls', 'os', 'crypto', 'perf_hooks', 'diagnostics_channel'],
    // The configuration is zod's and yaml's, the log is pino's.
    packages: ['commander', 'pino', 'yaml', 'zod'],
  },
};

/** What a test may use beside its room: the real hands, too, and another maker's gRPC client. */
export const TESTS = {
  directories: ['test/support', 'test/stand-ins', 'src/host'],
  packages: ['vitest', 'fast-check', '@grpc/grpc-js'],
};

/** The room of a path below src/: the longest name of ROOMS that it lies in. */
export function roomOf(path: string): string | undefined {
  const parts = path
    .replace(/^src\//, '')
    .split('/')
    .slice(0, -1);
  for (let length = Math.min(parts.length, 2); length > 0; length--) {
    const name = parts.slice(0, length).join('/');
    if (name in ROOMS) return name;
  }
  return undefined;
}

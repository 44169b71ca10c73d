import type { Row } from './row.ts';

const FLOOR_CREATE = 'the same acts by hand, bench/floor/microvm.ts';
const BY_HAND = 'the same VMM command by hand on the same files';
const BARE = 'a bare server of the same library';
const FLOOR_START = 'node, the database and a bare server, bench/floor/start.mjs';
const FLOOR_LIBRARIES = 'node with the same libraries, bench/floor/start.mjs';
const EMPTY_NODE = 'node -e 0';
const AGENT = "frames that a guest's agent sends back, bench/floor/agent.ts";
const LEAST = `${AGENT}, and the same within the guest by bench/floor/inside.c`;
const TAR = 'tar by flintlock exec';
const FLOOR_STUB = 'the same stubs by hand, bench/floor/microvm.ts';

/** Every line of the table, in its order. What a name begins with says which measurement it comes from. */
export const ROWS: readonly Row[] = [
  floor('create-exec', "create request → VMM exec'd", 'ms', 6, FLOOR_CREATE),
  floor('create-created', 'create request → CREATED', 'ms', 60, FLOOR_CREATE),
  ratio('create-line', "create request → guest's first line", 'ms', { most: 1.05 }, BY_HAND),
  ratio('small-line', 'the same with the small kernel', 'ms', { most: 1.05 }, BY_HAND),
  ratio('kvm-line', 'the same under KVM', 'ms', { most: 1.05 }, BY_HAND),
  floor('create-commits', 'durable commits a create, warm', '', 3, FLOOR_CREATE),
  floor('create-processes', 'processes spawned a create beside the VMM', '', 0, FLOOR_CREATE),
  floor('delete', 'delete request → nothing left', 'ms', 60, FLOOR_CREATE),
  more('provider-firecracker', "create request → Firecracker exec'd, more than QEMU"),
  more('provider-jail', 'the same in its jail, until its jailer is'),
  more('provider-cloudhypervisor', "create request → Cloud Hypervisor exec'd, more than QEMU"),
  floor('at-once-created', '20 creates at once → all CREATED', 's', 1, FLOOR_CREATE),
  floor('at-once-loop-p99', 'event loop late while 20 start and boot, p99', 'ms', 10, FLOOR_CREATE),
  { ...floor('at-once-loop-worst', 'the same, worst', 'ms', 50, FLOOR_CREATE), judged: 'max' },
  floor('at-once-deleted', '20 deletes at once → nothing left', 'ms', 200, FLOOR_CREATE),
  ratio('api-get', 'Get of 100, one connection', '/s', { least: 0.7 }, BARE),
  ratio('api-list', 'List of 100, one connection', '/s', { least: 0.7 }, BARE),
  ratio('lists-at-once', '32 Lists at once, 20 KB of metadata each', '/s', { least: 0.8 }, 'one after the other'),
  ratio('stream-time', 'List of 10,000, streamed', 'ms', { most: 1.3 }, 'a bare stream of the same messages'),
  // V8's young generation alone, three times 16 MB, fills in whatever makes messages.
  floor('stream-memory', 'more memory while it is streamed', 'MB', 48, 'a bare stream of the same messages'),
  {
    name: 'stubs-created',
    what: '200 creates at once, stub VMM: to CREATED',
    unit: '/s',
    judged: 'median',
    budget: { of: 'ours', least: 50 },
    against: FLOOR_STUB,
    isFloor: true,
  },
  {
    name: 'stubs-api',
    what: 'Get meanwhile, p99',
    unit: 'ms',
    judged: 'p99',
    budget: { of: 'ours', most: 100 },
    against: 'Get while nothing is created',
    isFloor: false,
  },
  floor('start-packed', "daemon's start → first List answered, packed", 's', 0.3, FLOOR_START),
  floor('start-checkout', 'the same, a checkout', 's', 0.5, FLOOR_START),
  floor('crowd-answer', 'restart with 500 microVMs (stub VMM) → first answer', 's', 1, FLOOR_START),
  floor('crowd-adopted', 'the same → all adopted', 's', 5, FLOOR_STUB),
  floor('crowd-told', 'the same, 500 died meanwhile → all told', 's', 5, FLOOR_START),
  floor('exit-seen', 'VMM exit → seen by a watcher', 'ms', 50, "a child's exit and a commit, in Node"),
  ratio('crowd-create', 'create beside 1,000 others', 'ms', { most: 1.2 }, 'create beside none'),
  ratio('crowd-delete', 'delete beside 1,000 others', 'ms', { most: 1.2 }, 'delete beside none'),
  floor('crowd-audit', 'audit of 500', 's', 3, 'the same looks by hand, bench/floor/looks.ts'),
  floor('memory-packed', 'memory, idle, packed', 'MB', 100, FLOOR_LIBRARIES),
  floor('memory-checkout', 'the same, a checkout, of which Node strips the types', 'MB', 100, FLOOR_LIBRARIES),
  floor('crowd-memory', 'memory for each microVM', 'KB', 30, FLOOR_STUB),
  ratio('memory-lives', 'memory after 1,000 lives', 'MB', { most: 1.1 }, 'before them'),
  ratio('memory-calls', 'memory after 8,000 Gets and 1,000 Lists', 'MB', { most: 1.1 }, 'before them'),
  ratio('cli-packed', 'flintlock list, wall, packed', 'ms', { most: 2.5 }, EMPTY_NODE),
  ratio('cli-checkout', 'the same, a checkout', 'ms', { most: 2.5 }, EMPTY_NODE),
  ratio('exec-cli', 'flintlock exec VM -- true, wall', 'ms', { most: 1 }, '1.5 × flintlock version, and 10 ms'),
  floor('exec-grpc', 'exec of true in a guest, one connection', 'ms', 5, `such a call to ${BARE}, ${LEAST}`),
  ratio('exec-at-once', '50 of them at once in one guest', 'ms', { most: 1 }, 'one after the other'),
  ratio('exec-out', '100 MB of output of a program', '/s', { least: 0.7 }, `${AGENT}, both ways at once; MB/s`),
  ratio('exec-in', '100 MB of input of a program', '/s', { least: 0.7 }, `${AGENT}, both ways at once; MB/s`),
  ratio('cp-out', '100 MB out of a guest by flintlock cp', '/s', { least: 0.5 }, `${AGENT}, both ways at once; MB/s`),
  ratio('cp-in', '100 MB into a guest by flintlock cp', '/s', { least: 0.5 }, `${AGENT}, both ways at once; MB/s`),
  ratio('cp-many-out', '1,000 small files out of a guest', 'ms', { most: 5 }, TAR),
  ratio('cp-many-in', '1,000 small files into a guest', 'ms', { most: 5 }, TAR),
  floor('forward-word', "a word to a guest's server and back, connected", 'ms', 5, LEAST),
  floor('forward-open', 'the same with its connection', 'ms', 10, LEAST),
  ratio('forward-out', "100 MB of a guest's server", '/s', { least: 0.7 }, `${AGENT}, both ways at once; MB/s`),
  {
    name: 'exec-streams',
    what: '1,000 execs open over 100 microVMs (stub VMM): memory for each',
    unit: 'KB',
    judged: 'median',
    budget: { of: 'ours', most: 100 },
    against: 'all that the daemon has more in RAM, with garbage',
    isFloor: false,
  },
];

function floor(name: string, what: string, unit: Row['unit'], most: number, against: string): Row {
  return { name, what, unit, judged: 'median', budget: { of: 'ours', most }, against, isFloor: true };
}

function ratio(
  name: string,
  what: string,
  unit: Row['unit'],
  bound: { readonly most: number } | { readonly least: number },
  against: string,
): Row {
  return { name, what, unit, judged: 'median', budget: { of: 'ratio', ...bound }, against, isFloor: false };
}

/** Of a provider: the daemon's own time of a create is within 10 ms of QEMU's. */
function more(name: string, what: string): Row {
  return {
    name,
    what,
    unit: 'ms',
    judged: 'median',
    budget: { of: 'ours', most: 10 },
    against: "QEMU's, whole",
    isFloor: false,
  };
}

import type { Lab, Variant } from './lab.ts';
import type { Point } from './point.ts';

/** What of a point matters to what is asked of the daemon. */
export type Aim = Pick<Point, 'kind'>;

/** One thing that is asked of a daemon which breaks while it does it. */
export interface Scenario {
  readonly name: string;
  /** Which of the points met belong to it; others are on the way to it. */
  readonly ways: readonly ('make' | 'unmake')[];
  /** Brings the host to where the daemon that breaks is started. Ends with none running. */
  arrange(lab: Lab, aim: Aim): Promise<void>;
  /** What the daemon is asked. Absent: it breaks by its start alone. */
  act?(lab: Lab, aim: Aim): Promise<void>;
  /** With a daemon that does not break: waits for what was promised. @returns how the host should look */
  settle(lab: Lab, aim: Aim): Promise<string>;
  /** A program of its own instead of a daemon. */
  readonly isTeardown?: true;
  /** Others of the ledger are on the way, and walked elsewhere. Absent: all. */
  readonly kinds?: readonly string[];
  /** With which of these all that it does is met. */
  readonly aims: readonly string[];
  /** The rules that go before the point's own. */
  first?(aim: Aim): string;
}

const HOST_KINDS = [
  ...['forwarding', 'bridge', 'firewall', 'guards', 'publishing', 'metadata-path', 'dhcp', 'probe'],
  ...['macvtap-guards', 'macvtap-path'],
];
export const IMAGE_KINDS = ['image-tree', 'golden', 'fitted-kernel'];

/** Whether the host's network is taken away for it, which no microVM may be there for. */
export const isBare = ({ isTeardown }: Scenario, { kind }: Aim): boolean =>
  isTeardown === true || HOST_KINDS.includes(kind);

const variantFor = ({ kind }: Aim): Variant => (kind === 'cidata' ? 'disk' : 'service');

/** What the point makes must not be there yet. */
async function clear(lab: Lab, { kind }: Aim): Promise<void> {
  if (IMAGE_KINDS.includes(kind)) {
    await lab.start();
    await lab.prune();
    await lab.host.stop();
  }
  if (HOST_KINDS.includes(kind) && (await lab.tearDown()) !== 0) throw new Error('the network cannot be removed');
}

async function createdAndDaemonGone(lab: Lab, aim: Aim, comesBack = false): Promise<string> {
  await lab.start();
  await lab.create(variantFor(aim), comesBack);
  const uid = await lab.untilRunning(variantFor(aim));
  await lab.host.kill9();
  return uid;
}

const create: Scenario = {
  name: 'create',
  aims: ['bridge', 'image-tree', 'cidata'],
  ways: ['make'],
  arrange: clear,
  act: async (lab, aim) => {
    await lab.create(variantFor(aim));
    await lab.untilRunning(variantFor(aim));
  },
  settle: async (lab, aim) => {
    await lab.untilRunning(variantFor(aim));
    return `running, ${variantFor(aim)}`;
  },
};

const remove: Scenario = {
  name: 'delete',
  aims: ['tap', 'cidata'],
  ways: ['unmake'],
  arrange: async () => undefined,
  act: async (lab, aim) => {
    await lab.create(variantFor(aim));
    await lab.untilRunning(variantFor(aim));
    await lab.remove();
  },
  settle: async (lab) => {
    await lab.remove();
    return 'gone';
  },
};

/** The create stands still after an act; the delete must interrupt it, and breaks itself. */
const removeDuringCreate: Scenario = {
  name: 'delete during create',
  aims: [],
  ways: ['unmake'],
  arrange: clear,
  first: ({ kind }) => `${kind}:make:after:1:hold`,
  act: async (lab, aim) => {
    await lab.create(variantFor(aim));
    await lab.untilHeld(aim.kind);
    await lab.remove();
  },
  settle: async (lab, { kind }) => {
    await lab.remove();
    if (!IMAGE_KINDS.includes(kind)) return 'gone';
    await lab.prune(); // of the tree, where the disk image was interrupted
    return 'pruned';
  },
};

/** The daemon comes back to a microVM that runs, and breaks. The microVM does not notice. */
const restart: Scenario = {
  name: 'restart of the daemon',
  aims: ['tap'],
  ways: ['make'],
  arrange: async (lab, aim) => {
    lab.pids = lab.host.vmms(await createdAndDaemonGone(lab, aim));
  },
  settle: async (lab, aim) => {
    const uid = await lab.untilRunning(variantFor(aim));
    const now = lab.host.vmms(uid);
    if (now.join() !== lab.pids.join()) throw new Error(`LOST: the VMM was ${lab.pids}, and is ${now}`);
    return `running, ${variantFor(aim)}`;
  },
};

/** The daemon comes back to a microVM that died meanwhile, and breaks while it puts its run away. */
const restartOfDead: Scenario = {
  name: 'restart after a death',
  aims: ['vmm'],
  ways: ['unmake'],
  arrange: async (lab, aim) => {
    const uid = await createdAndDaemonGone(lab, aim);
    for (const pid of lab.host.vmms(uid)) process.kill(pid, 'SIGKILL');
  },
  settle: async (lab) => {
    const vm = await lab.find();
    await lab.untilState(vm?.spec?.uid ?? '', 'FAILED');
    return 'failed';
  },
};

/** As before, and its policy brings it back. */
const restartByPolicy: Scenario = {
  name: 'restart by policy',
  kinds: ['vmm'],
  aims: ['vmm'],
  ways: ['make', 'unmake'],
  arrange: async (lab, aim) => {
    const uid = await createdAndDaemonGone(lab, aim, true);
    for (const pid of lab.host.vmms(uid)) process.kill(pid, 'SIGKILL');
  },
  act: async (lab, aim) => void (await lab.untilRunning(variantFor(aim))),
  settle: async (lab, aim) => {
    await lab.untilRunning(variantFor(aim));
    return `running, ${variantFor(aim)}`;
  },
};

const pull: Scenario = {
  name: 'image pull',
  kinds: IMAGE_KINDS,
  aims: ['image-tree'],
  ways: ['make'],
  arrange: (lab) => clear(lab, { kind: 'image-tree' }),
  act: (lab) => lab.pull(),
  settle: async (lab) => {
    await lab.pull();
    return 'pulled'; // the kernel is fitted for the first who boots it
  },
};

const prune: Scenario = {
  name: 'prune',
  kinds: IMAGE_KINDS,
  aims: ['image-tree'],
  ways: ['unmake'],
  arrange: async () => undefined,
  act: (lab) => lab.prune(),
  settle: async (lab) => {
    await lab.prune();
    return 'pruned';
  },
};

const tearDown: Scenario = {
  name: 'teardown',
  aims: ['bridge'],
  ways: ['unmake'],
  isTeardown: true,
  arrange: async () => undefined,
  settle: async (lab) => {
    const status = await lab.tearDown();
    if (status !== 0) throw new Error(`the second teardown ended with ${status}`);
    return 'torn down';
  },
};

export const SCENARIOS: readonly Scenario[] = [
  create,
  remove,
  removeDuringCreate,
  restart,
  restartOfDead,
  restartByPolicy,
  pull,
  prune,
  tearDown,
];

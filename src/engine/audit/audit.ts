import type { AuditItem, AuditReport } from '../../domain/audit.ts';
import { Fault } from '../../domain/fault.ts';
import { rowText, type UnreadableRow } from '../../domain/ledger.ts';
import { uidsIn } from '../../domain/uids-in.ts';
import type { Ledger } from '../../ports/ledger.ts';
import type { Log } from '../../ports/log.ts';
import { beginnings } from './beginnings.ts';
import { type EnumerateDeps, enumerate, type Unread } from './enumerate.ts';
import { type Expectation, expect } from './expect.ts';
import { requireNoMount } from './mounts.ts';
import { type Expected, keyOf, keysOf, type Thing } from './thing.ts';

/** SIGKILL works at once, except on a process in a system call that does not end. */
const KILL_MS = 10_000;

export interface AuditDeps extends EnumerateDeps {
  /** What the time for an end is multiplied by; absent: 1. */
  readonly patience?: number;
  readonly ledger: Ledger;
  readonly log: Log;
  /** The daemon's own listening sockets. */
  sockets(): readonly string[];
}

interface Found {
  readonly known: readonly AuditItem[];
  readonly leaked: readonly Thing[];
  readonly missing: readonly Expected[];
  readonly unread: readonly Unread[];
  readonly rows: readonly UnreadableRow[];
}

/** Compares the host with the ledger. With `fix` each leak is undone, after one more proof that it is ours. */
export async function audit(
  deps: AuditDeps,
  { fix }: { readonly fix: boolean },
  signal: AbortSignal,
): Promise<AuditReport> {
  let found = await compare(deps, signal);
  // Work goes on meanwhile: what was made or unmade between the two readings looks wrong once, not twice.
  if (found.leaked.length > 0 || found.missing.length > 0) {
    const again = await compare(deps, signal);
    const [leaked, missing] = [keysOf(found.leaked), keysOf(found.missing)];
    found = {
      known: again.known,
      leaked: again.leaked.filter((thing) => leaked.has(keyOf(thing))),
      missing: again.missing.filter((thing) => missing.has(keyOf(thing))),
      unread: again.unread,
      rows: again.rows,
    };
  }
  const fixed = new Set<Thing>();
  const failures = new Map<Thing, string>();
  // What no row names may be that of one which cannot be read: only its owner's program can tell.
  if (fix && found.rows.length === 0)
    for (const thing of order(found.leaked))
      try {
        await undo(deps, thing, signal);
        deps.log.warn('a leak was undone', { kind: thing.kind, name: thing.name });
        fixed.add(thing);
      } catch (error) {
        // One that cannot be undone keeps none of the others.
        if (signal.aborted || !(error instanceof Fault)) throw error;
        deps.log.error('a leak could not be undone', { kind: thing.kind, name: thing.name, error: error.message });
        failures.set(thing, error.message);
      }
  return {
    known: found.known,
    leaked: [
      ...found.leaked
        .filter((thing) => !fixed.has(thing))
        .map((thing) => {
          const failure = failures.get(thing);
          const line = lineOfThing(failure === undefined ? thing : { ...thing, detail: `${thing.detail}; ${failure}` });
          return found.rows.length === 0 ? line : { ...line, isUnclear: true };
        }),
      ...found.rows.map(lineOfRow),
      ...found.unread.flatMap(linesOfUnread),
    ],
    missing: found.missing.map(lineOfExpected),
    fixed: [...fixed].map(lineOfThing),
  };
}

async function compare(deps: AuditDeps, signal: AbortSignal): Promise<Found> {
  const { things, unread } = await enumerate(deps, signal);
  // After the host: an intent is always written before its act.
  const rows = deps.ledger.unreadable();
  const expectation = expect(deps.ledger.all(), deps.names, deps.vmms, deps.sockets(), deps.network);
  const ownerOf = owners(expectation);
  const known: AuditItem[] = [];
  const leaked: Thing[] = [];
  for (const thing of things) {
    const owner = ownerOf(thing);
    if (owner === undefined) leaked.push(thing);
    else if (owner.step !== '')
      known.push({ kind: thing.kind, name: thing.name, owner: owner.owner, detail: owner.step });
  }
  const isUnread = (kind: Thing['kind']): boolean => unread.some(({ kinds }) => kinds.includes(kind));
  const there = keysOf(things);
  const missing = expectation.named.filter((e) => e.made && !isUnread(e.kind) && !there.has(keyOf(e)));
  return { known, leaked: withoutNested(leaked), missing: withoutParts(missing), unread, rows };
}

interface Owner {
  readonly owner: string;
  /** Empty: it is a part of something, not listed. */
  readonly step: string;
}

/** Tells whose a thing is; undefined: nobody's that the ledger knows. */
function owners({ named, fixed, within, processes }: Expectation): (thing: Thing) => Owner | undefined {
  const exact = new Map(named.toReversed().map((e) => [keyOf(e), e])); // the first of a name wins
  const starting = new Map(
    named.flatMap((e) => (e.kind === 'process' && !e.made ? [[e.name.slice('of '.length), e]] : [])),
  );
  const isWithin = beginnings(within);
  return (thing) => {
    const found = exact.get(keyOf(thing));
    if (found) return found;
    if (thing.kind === 'process') {
      for (const word of thing.argv)
        for (const uid of uidsIn(word)) {
          const one = starting.get(uid);
          if (one) return one;
        }
      return processes.find(({ isIt }) => isIt(thing.argv));
    }
    return fixed.has(thing.name) || isWithin(thing.name) ? { owner: '', step: '' } : undefined;
  };
}

/** What is missing with an interface, a table or the rules to a routing table is not told beside them. */
function withoutParts(missing: readonly Expected[]): Expected[] {
  const names = new Set(missing.map(({ kind, name }) => `${kind} ${name}`));
  const isMissing = (kind: Thing['kind'], name: string): boolean => names.has(`${kind} ${name}`);
  return missing.filter(({ kind, name }) => {
    const [first = '', second = '', third = ''] = name.split(' ');
    if (kind === 'bridge-port') return !isMissing('interface', first);
    if (kind === 'firewall-element') return !isMissing('firewall-table', `${first} ${second}`);
    if (kind === 'routes') return !isMissing('routing-rule', `to table ${third}`);
    return true;
  });
}

/** A leaked directory stands for all below it. */
function withoutNested(leaked: readonly Thing[]): Thing[] {
  const isNested = beginnings(leaked.filter((t) => t.kind === 'directory').map((t) => `${t.name}/`));
  const isPath = ({ kind }: Thing): boolean => kind === 'file' || kind === 'directory' || kind === 'socket';
  // A leaked interface stands for what it is plugged into, a table for what is in it, rules for the routes they lead to.
  const interfaces = new Set(leaked.filter((t) => t.kind === 'interface').map((t) => t.name));
  const tables = new Set(leaked.filter((t) => t.kind === 'firewall-table').map((t) => t.name));
  const ruled = leaked.flatMap((t) => (t.kind === 'routing-rule' ? [t.routes] : []));
  return leaked.filter((t) => {
    if (t.kind === 'bridge-port') return !interfaces.has(t.device);
    if (t.kind === 'firewall-element') return !tables.has(t.name.split(' ', 2).join(' '));
    if (t.kind === 'routes') return !ruled.includes(t.routes);
    return !isPath(t) || !isNested(t.name);
  });
}

/** Processes first: what they hold open can then be removed. */
const RANK: Record<Thing['kind'], number> = {
  process: 0,
  cgroup: 1,
  interface: 1,
  'firewall-table': 2,
  'routing-rule': 2,
  routes: 2,
  'firewall-element': 1,
  'bridge-port': 1,
  'loop-device': 2,
  mount: 2,
  socket: 3,
  file: 3,
  directory: 4,
};
const order = (things: readonly Thing[]): Thing[] => things.toSorted((a, b) => RANK[a.kind] - RANK[b.kind]);

async function undo(
  { processes, cgroups, network, files, names, patience = 1 }: AuditDeps,
  thing: Thing,
  signal: AbortSignal,
): Promise<void> {
  switch (thing.kind) {
    case 'process': {
      const isSame = (argv: readonly string[]): boolean => argv.join('\0') === thing.argv.join('\0');
      if (await processes.signal(thing.identity, isSame, 'SIGKILL'))
        await processes.ended(thing.identity, AbortSignal.any([signal, AbortSignal.timeout(KILL_MS * patience)]));
      return;
    }
    case 'cgroup':
      return cgroups.remove([{ parent: thing.parent, directory: thing.name }], signal);
    case 'interface':
      return network.removeInterface(thing.name, signal);
    case 'firewall-table':
      return network.removeTable(thing.name, signal);
    case 'firewall-element':
      return network.removeElement(thing.element, signal);
    case 'routing-rule':
    case 'routes':
      return network.removeRules(thing.routes, signal);
    case 'file':
    case 'directory':
    case 'socket':
      await requireNoMount(files, thing.name, [names.stateDirectory, names.runDirectory]);
      return files.remove(thing.name);
    case 'mount':
    case 'loop-device':
    case 'bridge-port':
      throw new Fault('refused', `cannot tell whose it is: ${remedyOf(thing)}`);
    default:
      return thing satisfies never;
  }
}

/** Of what nothing proves to be ours, and `fix` leaves alone. */
function remedyOf(thing: Thing): string | undefined {
  switch (thing.kind) {
    case 'mount':
      return `umount ${thing.name}`;
    case 'loop-device':
      return `losetup --detach ${thing.name}`;
    case 'bridge-port':
      return `ip link set dev ${thing.device} nomaster`;
    default:
      return undefined;
  }
}

const lineOfThing = (thing: Thing): AuditItem => ({
  ...{ kind: thing.kind, name: thing.name, owner: '', detail: thing.detail },
  ...(remedyOf(thing) !== undefined && { isUnclear: true }),
});
const lineOfRow = (row: UnreadableRow): AuditItem => ({
  ...{ kind: 'ledger-row', name: rowText(row), owner: row.owner, detail: row.why, isUnclear: true },
});
const linesOfUnread = ({ kinds, why }: Unread): AuditItem[] =>
  kinds.map((kind) => ({
    kind,
    name: 'all',
    owner: '',
    detail: `could not be looked at: ${why}. "flintlock doctor" tells what the host lacks`,
    isUnclear: true,
  }));
const lineOfExpected = ({ kind, name, owner, step }: Expected): AuditItem => ({
  kind,
  name,
  owner,
  detail: `made by step ${step}, not on the host`,
});

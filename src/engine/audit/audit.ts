import { Fault } from '../../domain/fault.ts';
import { rowText, type UnreadableRow } from '../../domain/ledger.ts';
import type { Ledger } from '../../ports/ledger.ts';
import type { Log } from '../../ports/log.ts';
import { type EnumerateDeps, enumerate, type Unread } from './enumerate.ts';
import { type Expectation, expect } from './expect.ts';
import { requireNoMount } from './mounts.ts';
import { type Expected, sameThing, type Thing } from './thing.ts';

export interface AuditDeps extends EnumerateDeps {
  readonly ledger: Ledger;
  readonly log: Log;
  /** The daemon's own listening sockets. */
  sockets(): readonly string[];
}

export interface AuditLine {
  readonly kind: string;
  readonly name: string;
  readonly owner: string;
  readonly detail: string;
  /** Nothing proves whose it is, or whether it is there: `fix` leaves it alone. */
  readonly isUnclear?: boolean;
}

export interface AuditResult {
  readonly known: readonly AuditLine[];
  readonly leaked: readonly AuditLine[];
  readonly missing: readonly AuditLine[];
  readonly fixed: readonly AuditLine[];
}

interface Found {
  readonly known: readonly AuditLine[];
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
): Promise<AuditResult> {
  let found = await compare(deps, signal);
  // Work goes on meanwhile: what was made or unmade between the two readings looks wrong once, not twice.
  if (found.leaked.length > 0 || found.missing.length > 0) {
    const again = await compare(deps, signal);
    found = {
      known: again.known,
      leaked: again.leaked.filter((t) => found.leaked.some((f) => sameThing(f, t))),
      missing: again.missing.filter((t) => found.missing.some((f) => sameThing(f, t))),
      unread: again.unread,
      rows: again.rows,
    };
  }
  const fixed: Thing[] = [];
  const failures = new Map<Thing, string>();
  // What no row names may be that of one which cannot be read: only its owner's program can tell.
  if (fix && found.rows.length === 0)
    for (const thing of order(found.leaked))
      try {
        await undo(deps, thing, signal);
        deps.log.warn('a leak was undone', { kind: thing.kind, name: thing.name });
        fixed.push(thing);
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
        .filter((thing) => !fixed.includes(thing))
        .map((thing) => {
          const failure = failures.get(thing);
          const line = lineOfThing(failure === undefined ? thing : { ...thing, detail: `${thing.detail}; ${failure}` });
          return found.rows.length === 0 ? line : { ...line, isUnclear: true };
        }),
      ...found.rows.map(lineOfRow),
      ...found.unread.flatMap(linesOfUnread),
    ],
    missing: found.missing.map(lineOfExpected),
    fixed: fixed.map(lineOfThing),
  };
}

async function compare(deps: AuditDeps, signal: AbortSignal): Promise<Found> {
  const { things, unread } = await enumerate(deps, signal);
  // After the host: an intent is always written before its act.
  const rows = deps.ledger.unreadable();
  const expectation = expect(deps.ledger.all(), deps.names, deps.vmms, deps.sockets(), deps.network);
  const known: AuditLine[] = [];
  const leaked: Thing[] = [];
  for (const thing of things) {
    const owner = ownerOf(thing, expectation);
    if (owner === undefined) leaked.push(thing);
    else if (owner.step !== '')
      known.push({ kind: thing.kind, name: thing.name, owner: owner.owner, detail: owner.step });
  }
  const isUnread = (kind: Thing['kind']): boolean => unread.some(({ kinds }) => kinds.includes(kind));
  const missing = expectation.named.filter(
    (e) => e.made && !isUnread(e.kind) && !things.some((thing) => sameThing(thing, e)),
  );
  return { known, leaked: withoutNested(leaked), missing: withoutParts(missing), unread, rows };
}

/** Whose a thing is; undefined: nobody's that the ledger knows. An empty step is a part of something, not listed. */
function ownerOf(
  thing: Thing,
  { named, fixed, within, processes }: Expectation,
): { owner: string; step: string } | undefined {
  const exact = named.find((e) => sameThing(e, thing));
  if (exact) return exact;
  if (thing.kind === 'process') {
    const starting = named.find((e) => e.kind === 'process' && !e.made && isNamedIn(thing, e.name.slice('of '.length)));
    if (starting) return starting;
    return processes.find(({ isIt }) => isIt(thing.argv));
  }
  if (fixed.has(thing.name) || within.some((path) => thing.name.startsWith(path))) return { owner: '', step: '' };
  return undefined;
}

const isNamedIn = (thing: Extract<Thing, { kind: 'process' }>, uid: string): boolean =>
  thing.argv.some((word) => word.includes(uid));

/** What is missing with an interface, a table or the rules to a routing table is not told beside them. */
function withoutParts(missing: readonly Expected[]): Expected[] {
  const isMissing = (kind: Thing['kind'], name: string): boolean =>
    missing.some((e) => e.kind === kind && e.name === name);
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
  const directories = leaked.filter((t) => t.kind === 'directory').map((t) => `${t.name}/`);
  const isPath = ({ kind }: Thing): boolean => kind === 'file' || kind === 'directory' || kind === 'socket';
  // A leaked interface stands for what it is plugged into, a table for what is in it, rules for the routes they lead to.
  const interfaces = leaked.filter((t) => t.kind === 'interface').map((t) => t.name);
  const tables = leaked.filter((t) => t.kind === 'firewall-table').map((t) => `${t.name} `);
  const ruled = leaked.flatMap((t) => (t.kind === 'routing-rule' ? [t.routes] : []));
  return leaked.filter((t) => {
    if (t.kind === 'bridge-port') return !interfaces.includes(t.device);
    if (t.kind === 'firewall-element') return !tables.some((table) => t.name.startsWith(table));
    if (t.kind === 'routes') return !ruled.includes(t.routes);
    return !isPath(t) || !directories.some((directory) => t.name.startsWith(directory));
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
  { processes, cgroups, network, files, names }: AuditDeps,
  thing: Thing,
  signal: AbortSignal,
): Promise<void> {
  switch (thing.kind) {
    case 'process': {
      const isSame = (argv: readonly string[]): boolean => argv.join('\0') === thing.argv.join('\0');
      if (await processes.signal(thing.identity, isSame, 'SIGKILL'))
        await processes.ended(thing.identity, AbortSignal.any([signal, AbortSignal.timeout(10_000)]));
      return;
    }
    case 'cgroup':
      return cgroups.remove([{ parent: thing.parent, directory: thing.name }], signal);
    case 'interface':
    case 'firewall-table':
      return network.removeInterface(thing.name, signal);
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

const lineOfThing = (thing: Thing): AuditLine => ({
  ...{ kind: thing.kind, name: thing.name, owner: '', detail: thing.detail },
  ...(remedyOf(thing) !== undefined && { isUnclear: true }),
});
const lineOfRow = (row: UnreadableRow): AuditLine => ({
  ...{ kind: 'ledger-row', name: rowText(row), owner: row.owner, detail: row.why, isUnclear: true },
});
const linesOfUnread = ({ kinds, why }: Unread): AuditLine[] =>
  kinds.map((kind) => ({
    kind,
    name: 'all',
    owner: '',
    detail: `could not be looked at: ${why}. "flintlock doctor" tells what the host lacks`,
    isUnclear: true,
  }));
const lineOfExpected = ({ kind, name, owner, step }: Expected): AuditLine => ({
  kind,
  name,
  owner,
  detail: `made by step ${step}, not on the host`,
});

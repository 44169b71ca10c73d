/**
 * What each microVM costs the daemon's own books.
 *
 *     node bench/records.ts [COUNT]
 *
 * A change of state beside no metadata and beside 1 MiB of it, on the disk
 * that the daemon would write to and in memory; a create beside none and beside
 * twice COUNT (500) others, of which nothing is made; and an audit of COUNT and
 * of twice as many microVMs on a host that exists only in memory, which shows
 * whether its cost grows with their number or faster.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { parseCidr } from '../src/domain/ipv4.ts';
import { type IntentOf, type OwnerOf, type ResultOf, type VmStepKind, vmOwner } from '../src/domain/ledger.ts';
import { metadataRef } from '../src/domain/metadata-rules.ts';
import type { Uid } from '../src/domain/microvm.ts';
import type { Names } from '../src/domain/names.ts';
import { audit } from '../src/engine/audit/audit.ts';
import { clock } from '../src/host/clock.ts';
import type { Files, ProcessInfo } from '../src/ports/host.ts';
import type { Ledger } from '../src/ports/ledger.ts';
import { Database } from '../src/store/database.ts';
import { createStore } from '../src/store/vms.ts';
import { FakeHost } from '../test/support/fake-host.ts';
import { fakeNetwork } from '../test/support/fake-network.ts';
import { fakeCgroups, fakeProcesses, fakeVmm } from '../test/support/fake-processes.ts';
import { sampleRecord } from '../test/support/fake-services.ts';
import { type Caller, FakeWorld, fakeFiles, VMM_PROGRAM } from '../test/support/fake-world.ts';
import { INTENTS, RESULTS } from '../test/support/ledger-rows.ts';
import { ledgerIn } from '../test/support/memory-ledger.ts';
import { memoryLog } from '../test/support/memory-log.ts';

const count = Number(process.argv[2] ?? 500);
const CHANGES = 300;
const AUDITS = 5;
/** What else runs on a host, each with so many words. */
const STRANGERS = 300;
const WORDS = 60;

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
/** As a uid is written, in the order of the numbers. */
const uidOf = (n: number): Uid => `01JDGZ${String(n).padStart(20, '0')}` as Uid;

/** Milliseconds of a change of state, and of one that turns out to be none. */
function changes(directory: string, bytes: number): { readonly change: number; readonly none: number } {
  const path = mkdtempSync(`${directory}/flt-bench-`);
  const db = new Database(`${path}/db`);
  try {
    const store = createStore(db, { clock, log: memoryLog(), newEpoch: () => 'bench' });
    const metadata = bytes === 0 ? {} : { 'user-data': 'A'.repeat(bytes) };
    const sample = sampleRecord({ version: 1 });
    const ref = metadataRef(metadata, 1);
    const vm = { ...sample, spec: { ...sample.spec, ...(ref && { metadataRef: ref }) } };
    store.create({ vm, metadata, uniqueId: true });
    const [change, none]: [number[], number[]] = [[], []];
    for (let i = 0; i < CHANGES; i++) {
      const begin = performance.now();
      store.update(vm.uid, (old) => ({ ...old, retry: i }));
      const between = performance.now();
      store.update(vm.uid, () => undefined);
      none.push(performance.now() - between);
      change.push(between - begin);
    }
    return { change: median(change), none: median(none) };
  } finally {
    db.close();
    rmSync(path, { recursive: true });
  }
}

const names: Names = { instance: 'abcd', stateDirectory: '/var/lib/flintlock', runDirectory: '/run/flintlock' };

/** The ledger's rows and the host's things of so many microVMs that run. */
function populate(world: FakeWorld, ledger: Ledger, most: number): Map<string, string[]> {
  const tree = new Map<string, string[]>();
  const addFile = (path: string): void => {
    for (let child = path; child.length > 1; ) {
      const parent = child.slice(0, child.lastIndexOf('/'));
      const siblings = tree.get(parent);
      const name = child.slice(parent.length + 1);
      if (siblings?.includes(name)) return;
      if (siblings) siblings.push(name);
      else tree.set(parent, [name]);
      child = parent;
    }
  };
  const made = <K extends VmStepKind>(uid: Uid, kind: K, key: string, intent: IntentOf<K>, result: ResultOf<K>) => {
    const owner: OwnerOf<VmStepKind> = vmOwner(uid);
    ledger.made(ledger.intend(owner as OwnerOf<K>, kind, key, intent), result);
  };
  for (let n = 0; n < most; n++) {
    const uid = uidOf(n);
    const device = `flabcd${n.toString(36)}`;
    const port = 20_000 + n;
    const [state, run] = [`${names.stateDirectory}/vm/${uid}`, `${names.runDirectory}/vm/${uid}`];
    made(uid, 'directory', '', { state, run }, null);
    for (const disk of ['root', 'data']) {
      made(uid, 'volume', disk, { ...INTENTS.volume, path: `${state}/${disk}` }, RESULTS.volume);
      addFile(`${state}/${disk}`);
    }
    for (const path of [`${state}/console.log`, `${run}/qmp.sock`]) addFile(path);
    made(uid, 'tap', 'eth0', { ...INTENTS.tap, device, bridge: 'flabcdbr' }, RESULTS.tap);
    world.interfaces.set(device, { device, index: n + 10, mac: '', alias: '', kind: 'tun', master: 'flabcdbr' });
    made(uid, 'guard', 'eth0', { ...INTENTS.guard, device }, null);
    world.guards.add(`guard of ${device}`);
    made(uid, 'metadata', '', { ...INTENTS.metadata, devices: [device], port }, null);
    world.ways.add(`${device} to ${port}`);
    const words = Array.from({ length: WORDS }, (_, i) => `option${i}=${state}/file${i},of=${uid}`);
    const { identity } = world.startProcess([VMM_PROGRAM, ...words]);
    const config = { ...INTENTS.vmm.config, uid };
    made(uid, 'vmm', '', { ...INTENTS.vmm, config, cgroups: [] }, { ...RESULTS.vmm, process: { ...identity } });
  }
  for (let n = 0; n < STRANGERS; n++)
    world.startProcess(['stranger', ...Array.from({ length: WORDS }, (_, i) => `--flag${i}=/srv/data/${n}/${i}`)]);
  return tree;
}

/** Milliseconds of the CPU for one audit of so many microVMs, which finds nothing wrong. */
async function audits(most: number): Promise<number> {
  const world = new FakeWorld();
  const caller: Caller = { dead: false, isNamed: () => true };
  const db = new Database(':memory:');
  const log = memoryLog();
  const ledger = ledgerIn(db);
  const tree = db.transact(() => populate(world, ledger, most));
  const files: Files = {
    ...fakeFiles(world, caller),
    list: async (path) => tree.get(path) ?? [],
    stat: async (path) => ({ kind: tree.has(path) ? 'directory' : 'file', sizeBytes: 0, diskBytes: 0, mode: 0o600 }),
  };
  const listed = [...world.processes.values()].map(
    ({ identity, argv }): ProcessInfo => ({ ...identity, argv, exe: '', zombie: false }),
  );
  const deps = {
    ...{ names, files, ledger, log, network: fakeNetwork(world, caller), vmms: [fakeVmm(world, caller)] },
    processes: {
      ...fakeProcesses(world, caller),
      find: async (match: (argv: readonly string[]) => boolean) => listed.filter(({ argv }) => match(argv)),
    },
    cgroups: fakeCgroups(world, caller),
    uids: () => Array.from({ length: most }, (_, n) => uidOf(n)),
    sockets: () => [],
  };
  const times: number[] = [];
  for (let i = 0; i < AUDITS; i++) {
    const begin = process.cpuUsage();
    const { leaked, missing } = await audit(deps, { fix: false }, new AbortController().signal);
    const { user, system } = process.cpuUsage(begin);
    times.push((user + system) / 1_000);
    if (leaked.length + missing.length > 0)
      throw new Error(`the audit is no clean one: ${JSON.stringify([leaked[0], missing[0]])}`);
    await turn();
  }
  db.close();
  return median(times);
}

/** Milliseconds of the CPU for the acceptance of a create, beside ever more others. */
async function creates(most: number): Promise<{ readonly first: number; readonly last: number }> {
  const network = parseCidr('10.0.0.0/16');
  const host = new FakeHost({
    look: () => async () => undefined,
    context: { network, vmmUsers: { first: 100_000, last: 200_000 } },
  });
  const times: number[] = [];
  for (let n = 0; n < most; n++) {
    const begin = process.cpuUsage();
    await host.create({ id: `vm${n}` });
    const { user, system } = process.cpuUsage(begin);
    times.push((user + system) / 1_000);
  }
  host.database.close();
  return { first: median(times.slice(20, 120)), last: median(times.slice(-100)) };
}

const line = (what: string, value: number): void =>
  console.log(`${what.padEnd(64)}${value.toFixed(3).padStart(12)} ms`);
for (const [where, directory] of [
  ['disk', '/var/tmp'],
  ['memory', '/dev/shm'],
] as const)
  for (const [size, bytes] of [
    ['without metadata', 0],
    ['beside 1 MiB of metadata', 2 ** 20],
  ] as const) {
    const { change, none } = changes(directory, bytes);
    line(`a change of state, ${size} (${where})`, change);
    line(`  one that turns out to be none`, none);
  }
const { first, last } = await creates(2 * count);
line('a create beside few, of the CPU', first);
line(`a create beside ${2 * count}, of the CPU`, last);
console.log(`${'  of that beside few'.padEnd(64)}${(last / first).toFixed(2).padStart(12)}`);
const [once, twice] = [await audits(count), await audits(2 * count)];
line(`an audit of ${count} microVMs, of the CPU`, once);
line(`an audit of ${2 * count} microVMs, of the CPU`, twice);
console.log(`${'  of that of half as many'.padEnd(64)}${(twice / once).toFixed(2).padStart(12)}`);

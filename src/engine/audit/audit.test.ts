import { describe, expect, test } from 'vitest';
import { turn } from '../../../test/support/fake-clock.ts';
import { FakeHost } from '../../../test/support/fake-host.ts';
import { fail, hang, VMM_PROGRAM } from '../../../test/support/fake-world.ts';
import { Fault } from '../../domain/fault.ts';

async function running() {
  const host = new FakeHost();
  const uid = await host.create();
  await host.until(uid, 'CREATED');
  return { host, uid, tail: uid.slice(-6).toLowerCase() };
}
const namesOf = (lines: readonly { kind: string; name: string }[]): readonly string[] =>
  lines.map(({ kind, name }) => `${kind} ${name}`);

/** One of each kind that counts as ours, made by hand. */
function plant(host: FakeHost, uid: string): readonly string[] {
  const { world } = host;
  world.addPath(`/state/vm/${uid}/planted`, 'file');
  world.addPath('/state/vm/01ARZ3NDEKTSV4RRFFQ69G5FAV/disk', 'file');
  world.addPath('/run/fl/planted.sock', 'socket');
  world.interfaces.set('flabcdplanted', {
    device: 'flabcdplanted',
    index: 99,
    mac: '',
    alias: '',
    kind: 'tun',
    master: '',
  });
  world.interfaces.set('renamed', {
    device: 'renamed',
    index: 98,
    mac: '',
    alias: 'flintlock:abcd:uid=x',
    kind: 'tun',
    master: '',
  });
  world.tables.add('inet flintlock_abcd_planted');
  world.cgroups.add('/cgroups/ours/01ARZ3NDEKTSV4RRFFQ69G5FAV');
  const byDirectory = world.startProcess([VMM_PROGRAM, '-name', '/state/vm/by-hand']);
  return [
    `process ${byDirectory.identity.pid}`,
    'cgroup /cgroups/ours/01ARZ3NDEKTSV4RRFFQ69G5FAV',
    'interface flabcdplanted',
    'interface renamed',
    'firewall-table inet flintlock_abcd_planted',
    `file /state/vm/${uid}/planted`,
    'socket /run/fl/planted.sock',
    'directory /state/vm/01ARZ3NDEKTSV4RRFFQ69G5FAV',
  ];
}

test('of what cannot be looked at it says so, and neither that it is missing nor that it is clean', async () => {
  const { host } = await running();
  host.world.tablesFault = new Fault('tool', 'Cannot run nft');
  const { leaked, missing, fixed } = await host.audit(true);
  expect({ missing, fixed }).toEqual({ missing: [], fixed: [] });
  expect(leaked).toEqual([
    {
      ...{ kind: 'firewall-table', name: 'all', owner: '', isUnclear: true },
      detail: 'could not be looked at: Cannot run nft. "flintlock doctor" tells what the host lacks',
    },
  ]);
});

test('names everything of a microVM that runs, and finds nothing wrong', async () => {
  const { host, uid, tail } = await running();
  const report = await host.audit();
  expect(report).toMatchObject({ leaked: [], missing: [], fixed: [] });
  const mine = report.known.filter(({ owner }) => owner === uid);
  expect(namesOf(mine)).toEqual(
    expect.arrayContaining([
      `process ${host.world.vmmsOf(uid)[0]}`,
      `interface flabcd${tail}0`,
      `directory /state/vm/${uid}`,
      `file /state/vm/${uid}/disk0`,
    ]),
  );
});

test('what is others’ is none of ours', async () => {
  const { host } = await running();
  const { world } = host;
  for (const device of ['eth0', 'fl', 'flabc', 'flxyzw0', 'docker0'])
    world.interfaces.set(device, { device, index: 1, mac: '', alias: 'flintlock:wxyz:uid=1', kind: 'tun', master: '' });
  for (const table of ['inet filter', 'inet flintlock', 'inet flintlock_wxyz', 'bridge other']) world.tables.add(table);
  world.startProcess([VMM_PROGRAM, '/elsewhere/vm/x']);
  world.startProcess(['vim', '/state/vm/x']);
  world.startProcess(['dnsmasq', '--dhcp-hostsdir=/other/hosts']);
  world.interfaces.set('flwxyzbr', { device: 'flwxyzbr', index: 99, mac: '', alias: '', kind: 'bridge', master: '' });
  world.addPath('/elsewhere/vm/x', 'file');
  expect(await host.audit()).toMatchObject({ leaked: [], missing: [] });
});

test('tables of an instance whose bridge is gone are leaks, and undone when told', async () => {
  const host = new FakeHost();
  const { world } = host;
  world.tables.add('inet flintlock_wxyz').add('bridge flintlock_wxyz').add('inet flintlock_wxyz_metadata');
  // One that has no network of its own, and one of others.
  world.tables.add('bridge flintlock_abc2').add('inet flintlock-like');
  const names = ['bridge flintlock_wxyz', 'inet flintlock_wxyz', 'inet flintlock_wxyz_metadata'];
  expect((await host.audit()).leaked.map(({ name }) => name).toSorted()).toEqual(names);
  await host.audit(true);
  expect([...world.tables]).toEqual(['bridge flintlock_abc2', 'inet flintlock-like']);
});

test('finds what the ledger does not name, by name, mark and place, and touches nothing', async () => {
  const { host, uid } = await running();
  const planted = plant(host, uid);
  const before = [...host.world.paths.keys(), ...host.world.interfaces.keys(), ...host.world.processes.keys()];
  const report = await host.audit();
  expect(namesOf(report.leaked).toSorted()).toEqual(planted.toSorted());
  expect(report.leaked.every(({ owner, detail }) => owner === '' && detail !== '')).toBe(true);
  expect(report.fixed).toEqual([]);
  expect([...host.world.paths.keys(), ...host.world.interfaces.keys(), ...host.world.processes.keys()]).toEqual(before);
});

describe('told to mend', () => {
  test('removes the leaks, what holds others first, and leaves all else', async () => {
    const { host, uid } = await running();
    const planted = plant(host, uid);
    host.world.calls.length = 0;
    const report = await host.audit(true);
    expect(namesOf(report.fixed)).toEqual(planted);
    expect(report.leaked).toEqual([]);
    expect(host.world.calls).toEqual([
      'fix process',
      'undo cgroup',
      'fix interface flabcdplanted',
      'fix interface renamed',
      'fix table inet flintlock_abcd_planted',
      'undo directory',
      'undo directory',
      'undo directory',
    ]);
    expect(await host.audit(true)).toMatchObject({ leaked: [], missing: [], fixed: [] });
    expect(host.vm(uid).state.is).toBe('CREATED');
    expect(host.world.vmmsOf(uid)).toHaveLength(1);
  });

  test('goes on where one cannot be removed, and says that it is still there', async () => {
    const { host, uid } = await running();
    const planted = plant(host, uid);
    host.world.next('fix interface flabcdplanted', fail(new Fault('tool', 'it is busy')));
    const report = await host.audit(true);
    expect(namesOf(report.leaked)).toEqual(['interface flabcdplanted']);
    expect(report.leaked[0]?.detail).toContain('it is busy');
    expect(namesOf(report.fixed)).toEqual(planted.filter((name) => name !== 'interface flabcdplanted'));
  });

  test('sends no signal to a process that is another by then', async () => {
    const { host } = await running();
    const process = host.world.startProcess([VMM_PROGRAM, '/state/vm/by-hand']);
    const { pid } = process.identity;
    host.world.next('fix process', () => {
      host.world.processes.set(pid, { ...process, argv: ['sshd'] });
    });
    await host.audit(true);
    expect(host.world.processes.get(pid)?.argv).toEqual(['sshd']);
  });

  test('ends with its signal', async () => {
    const { host, uid } = await running();
    plant(host, uid);
    host.world.always('fix interface flabcdplanted', hang);
    const abort = new AbortController();
    const report = host.life.services.audit({ fix: true }, abort.signal);
    for (let i = 0; i < 50; i++) await turn();
    abort.abort(new Error('the caller left'));
    await expect(report).rejects.toThrow('the caller left');
  });
});

test('a routing rule numbered for this instance, without a network, is a leak; another is not ours', async () => {
  const host = new FakeHost();
  const ours = 1_000_000 + (1 << 10) + (2 << 5) + 3; // `abcd` in base 32: digits 0, 1, 2 and 3
  host.world.rules.add(String(ours)).add('52').add('main');
  expect(namesOf((await host.audit()).leaked)).toEqual([`routing-rule to table ${ours}`]);
  expect(namesOf((await host.audit(true)).fixed)).toEqual([`routing-rule to table ${ours}`]);
  expect([...host.world.rules]).toEqual(['52', 'main']);
});

describe('what the ledger names and the host has not', () => {
  test.each<[string, (host: FakeHost, uid: string, tail: string) => void, string]>([
    ['interface', (host, _, tail) => host.world.interfaces.delete(`flabcd${tail}0`), 'interface flabcd'],
    ['disk', (host, uid) => host.world.removePath(`/state/vm/${uid}/disk0`), 'file /state/vm/'],
    ['bridge', (host) => host.world.interfaces.delete('flabcdbr'), 'interface flabcdbr'],
    ['firewall', (host) => host.world.tables.delete('inet flintlock_abcd'), 'firewall-table inet'],
    ['rule', (host) => host.world.rules.clear(), 'routing-rule to table 100'],
    ['way to metadata', (host) => host.world.tables.delete('inet flintlock_abcd_metadata'), 'firewall-table inet'],
    ['lease', (host, uid) => host.world.removePath(`/run/fl/network/hosts/${uid}-eth0`), 'file /run/fl/network'],
    ['process', (host, uid) => host.world.processes.delete(host.world.vmmsOf(uid)[0] ?? -1), 'process '],
  ])('is told: %s', async (_, lose, expected) => {
    const { host, uid, tail } = await running();
    lose(host, uid, tail);
    const { missing, leaked } = await host.audit();
    expect(leaked).toEqual([]);
    expect(namesOf(missing)).toEqual([expect.stringContaining(expected)]);
  });

  test('only intended may be missing', async () => {
    const host = new FakeHost();
    host.world.always('vmm', hang);
    const uid = await host.create();
    for (let i = 0; i < 100 && !host.world.calls.includes('vmm'); i++) await turn();
    expect(host.ledgerOf(uid).at(-1)).toMatchObject({ kind: 'vmm', made: false });
    expect(await host.audit()).toMatchObject({ leaked: [], missing: [] });
    // Its process, started and not yet marked, is ours all the same.
    host.world.startProcess([VMM_PROGRAM, uid]);
    expect(await host.audit()).toMatchObject({ leaked: [], missing: [] });
  });
});

test('what comes and goes while it looks is no difference', async () => {
  const { host } = await running();
  let isOver = false;
  const churn = (async () => {
    for (let i = 0; i < 30; i++) {
      const uid = await host.create({ id: `churn${i}` });
      await host.until(uid, 'CREATED');
      await host.delete(uid);
      await host.until(uid, 'gone');
    }
    isOver = true;
  })();
  let looks = 0;
  while (!isOver) {
    expect(await host.audit()).toMatchObject({ leaked: [], missing: [] });
    looks++;
  }
  await churn;
  expect(looks).toBeGreaterThan(3);
});

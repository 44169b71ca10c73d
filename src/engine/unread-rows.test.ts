import { expect, test } from 'vitest';
import { turn } from '../../test/support/fake-clock.ts';
import { FakeHost } from '../../test/support/fake-host.ts';
import { ownedBy } from '../../test/support/ledger-rows.ts';

const MINUTE = 60_000;

/** Two microVMs run, and the daemon that comes finds a row of the first that it cannot read. */
async function withBrokenRow(sql: string) {
  const host = new FakeHost();
  const [bad, good] = [await host.create({ id: 'bad' }), await host.create({ id: 'good', interfaces: [] })];
  await host.until(bad, 'CREATED');
  await host.until(good, 'CREATED');
  const vmms = host.world.vmmsOf(bad);
  host.database.sql.exec(`${sql} AND owner = '${bad}'`);
  await host.restart();
  await host.until(good, 'CREATED');
  const told = () => host.log.lines.filter(({ message }) => message === 'a microVM is left alone');
  const later = async (ms: number): Promise<void> => {
    host.clock.advance(ms);
    for (let i = 0; i < 50; i++) await turn();
  };
  return { host, bad, good, vmms, told, later };
}

const BROKEN = "UPDATE ledger SET intent = '{}' WHERE kind = 'guard'";

test('a microVM with a row that cannot be read is left alone, and says so; others do not notice', async () => {
  const { host, bad, good, vmms, told, later } = await withBrokenRow(BROKEN);
  const [row] = host.life.ledger.unreadable(ownedBy(bad));
  const why = expect.stringMatching(
    new RegExp(`^The ledger's row ${bad} guard "eth0" \\(entry ${row?.entry}\\) cannot be read: its intent: table: `),
  );
  expect(host.vm(bad)).toMatchObject({
    state: { is: 'PENDING', reason: 'LedgerUnreadable', message: why },
    retry: 0,
  });
  expect(host.vm(bad).conditions.find(({ type }) => type === 'LedgerReadable')).toMatchObject({
    ...{ status: 'False', reason: 'LedgerUnreadable', message: why },
  });
  expect(host.world.vmmsOf(bad)).toEqual(vmms); // its guest runs on
  expect(host.life.guests.of(bad)).toBeUndefined();
  expect(host.life.guests.of(good)).toBeDefined();
  const before = host.vm(bad).version;
  for (let i = 0; i < 5; i++) await later(MINUTE);
  expect(host.vm(bad).version).toBe(before);
  expect(told()).toHaveLength(1);
  // The daemon serves on: another comes, and goes.
  const more = await host.create({ id: 'more', interfaces: [] });
  await host.until(more, 'CREATED');
  await host.delete(more);
  await host.until(more, 'gone');
});

test('a delete is accepted, undoes nothing, and goes on when the row can be read', async () => {
  const { host, bad, vmms, later } = await withBrokenRow(BROKEN);
  const entries = host.life.ledger.unreadable(ownedBy(bad)).length;
  await host.delete(bad);
  await later(MINUTE);
  expect(host.vm(bad).state).toMatchObject({ is: 'DELETING', reason: 'DeleteBlocked' });
  expect(host.world.vmmsOf(bad)).toEqual(vmms);
  expect(host.life.ledger.unreadable(ownedBy(bad))).toHaveLength(entries);
  const guard = { table: 't', device: 'd', mac: 'm' };
  host.database.sql.exec(
    `UPDATE ledger SET intent = '${JSON.stringify(guard)}' WHERE kind = 'guard' AND owner = '${bad}'`,
  );
  await later(2 * MINUTE);
  await host.until(bad, 'gone');
  expect(host.world.vmmsOf(bad)).toEqual([]);
});

test('one that was mended is taken over as it runs', async () => {
  const { host, bad, vmms, later } = await withBrokenRow(BROKEN.replace("'{}'", "'no JSON'"));
  expect(host.vm(bad).state.is).toBe('PENDING');
  const guard = { table: 'flintlock_abcd', device: 'd', mac: 'm' };
  host.database.sql.exec(
    `UPDATE ledger SET intent = '${JSON.stringify(guard)}' WHERE kind = 'guard' AND owner = '${bad}'`,
  );
  await later(2 * MINUTE);
  await host.until(bad, 'CREATED');
  expect(host.world.vmmsOf(bad)).toEqual(vmms);
  expect(host.vm(bad).conditions.map(({ type }) => type)).not.toContain('LedgerReadable');
});

test('of one whose row a newer program wrote nothing is started, and which program is needed is said', async () => {
  const { host, bad, later } = await withBrokenRow(
    "UPDATE ledger SET version = 9, program = '9.1.0', intent = '{\"new\":1}' WHERE kind = 'vmm'",
  );
  for (const pid of host.world.vmmsOf(bad)) host.world.processes.delete(pid);
  await later(5 * MINUTE);
  expect(host.world.vmmsOf(bad)).toEqual([]);
  expect(host.vm(bad).state).toMatchObject({
    is: 'PENDING',
    message: expect.stringContaining('it is of version 9, and this flintlockd knows 1: start flintlockd 9.1.0'),
  });
  await expect(host.life.services.power('stop', { uid: bad, timeoutMs: 0 }, AbortSignal.timeout(10))).rejects.toThrow();
  await later(MINUTE);
  expect(host.vm(bad).state).toMatchObject({ is: 'PENDING', reason: 'LedgerUnreadable' });
});

test('what it may have on the host is neither mended away nor undone by an audit', async () => {
  const { host, bad, later } = await withBrokenRow(BROKEN);
  const { world } = host;
  world.tables.add('inet flintlock_abcd_planted');
  await later(MINUTE);
  const guards = [...world.guards];
  expect(guards).toHaveLength(1);
  const report = await host.audit(true);
  expect(report.fixed).toEqual([]);
  expect([...world.tables]).toContain('inet flintlock_abcd_planted');
  expect([...world.guards]).toEqual(guards);
  expect(report.leaked.every(({ isUnclear }) => isUnclear === true)).toBe(true);
  expect(report.leaked).toContainEqual(
    expect.objectContaining({ kind: 'ledger-row', name: `${bad} guard "eth0"`, owner: bad }),
  );
});

test('a row of the host that cannot be read keeps its network as it is, and no daemon from its start', async () => {
  const host = new FakeHost();
  const bare = await host.create({ id: 'bare', interfaces: [] });
  const netted = await host.create({ id: 'netted' });
  await host.until(netted, 'CREATED');
  host.database.sql.exec("UPDATE ledger SET intent = '7' WHERE kind = 'firewall'");
  host.world.calls.length = 0;
  await host.restart();
  await host.until(bare, 'CREATED');
  await host.until(netted, 'CREATED'); // its own rows can be read
  expect(host.log.lines.filter(({ message }) => message.startsWith('what a row of the ledger'))).toHaveLength(1);
  expect(host.world.calls.filter((call) => call.includes('firewall') || call.includes('bridge'))).toEqual([]);
  const next = await host.create({ id: 'next' });
  for (let i = 0; i < 200 && host.vm(next).retry === 0; i++) await turn();
  expect(host.vm(next).state).toMatchObject({
    is: 'PENDING',
    message: expect.stringContaining("The ledger's row host firewall"),
  });
});

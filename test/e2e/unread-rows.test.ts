import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, test } from 'vitest';
import { idleLayer } from '../faults/idle-kernel.ts';
import { type SpecInit, startHost, type TestHost } from '../support/daemon.ts';
import { writeLayout } from '../support/oci-layout.ts';

const statusOf = async (host: TestHost, uid: string) => (await host.get(uid)).status;

/** Between two daemons. */
function change(host: TestHost, sql: string, ...values: readonly (string | number)[]): void {
  using database = new DatabaseSync(join(host.state, 'flintlock.db'));
  expect(database.prepare(sql).run(...values).changes).toBe(1);
}

test('a daemon that finds rows of another program serves on, leaves those microVMs alone, and takes them over when it can', async (t) => {
  const host = await startHost(t);
  await writeLayout(join(host.images, 'idle'), { v1: { layers: [idleLayer()] } });
  const image = `oci:${host.images}/idle:v1`;
  const create = async (id: string): Promise<string> => {
    const interfaces = [{ guestDeviceName: 'eth0', type: 1 }];
    const volumes = [{ id: 'root', isRoot: true, sizeInMb: 16, source: { containerSource: image } }];
    const spec = { id, vcpu: 1, memoryInMb: 32, kernel: { image }, volumes, interfaces } as SpecInit;
    const uid = (await host.create(spec)).spec?.uid ?? '';
    await host.until(uid, 'CREATED');
    return uid;
  };
  const [newer, broken, well] = [await create('newer'), await create('broken'), await create('well')];
  const pids = [newer, broken, well].map((uid) => host.vmms(uid));
  await host.stop();

  change(host, "UPDATE ledger SET version = 9, program = '9.9.9' WHERE owner = ? AND kind = 'vmm'", newer);
  change(
    host,
    "UPDATE ledger SET intent = replace(intent, '\"bridge\"', '\"span\"') WHERE owner = ? AND kind = 'tap'",
    broken,
  );
  await host.start();
  await host.until(well, 'CREATED');
  expect(await statusOf(host, newer)).toMatchObject({
    reason: 'LedgerUnreadable',
    message: expect.stringContaining('start flintlockd 9.9.9, which wrote it, or a newer one'),
  });
  expect(await statusOf(host, broken)).toMatchObject({
    reason: 'LedgerUnreadable',
    message: expect.stringMatching(`^The ledger's row ${broken} tap "eth0" .* its intent: bridge: `),
  });
  await create('another');
  expect([newer, broken, well].map((uid) => host.vmms(uid))).toEqual(pids);
  expect((await host.audit(true)).fixed).toEqual([]);
  expect(host.log.match(/a microVM is left alone/g)).toHaveLength(2);
  await host.stop();

  change(host, "UPDATE ledger SET version = 1 WHERE owner = ? AND kind = 'vmm'", newer);
  change(
    host,
    "UPDATE ledger SET intent = replace(intent, '\"span\"', '\"bridge\"') WHERE owner = ? AND kind = 'tap'",
    broken,
  );
  // The next one finds a row of the network so.
  change(host, "UPDATE ledger SET version = 9, program = '9.9.9' WHERE owner = 'host' AND kind = 'forwarding'");
  await host.start();
  for (const uid of [newer, broken, well]) await host.until(uid, 'CREATED');
  expect([newer, broken, well].map((uid) => host.vmms(uid))).toEqual(pids);
  expect(host.log).toContain("The ledger's row host forwarding");
  await host.stop();

  change(host, "UPDATE ledger SET version = 1 WHERE owner = 'host' AND kind = 'forwarding'");
  await host.start();
  for (const uid of [newer, broken, well]) {
    await host.vms.deleteMicroVM({ uid });
    await host.untilGone(uid);
  }
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
});

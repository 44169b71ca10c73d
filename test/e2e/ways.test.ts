import { expect, test } from 'vitest';
import { demoSpec, poll, ROOT, startHost } from '../support/daemon.ts';

/** From the daemon to the user: what is found of the ways of guests is told where users look. */
test('a firewall that comes later is told of: condition, log, metric, doctor; and so is its end', async (t) => {
  const host = await startHost(t, { env: { FLINTLOCKD_NETWORK_PROBE_PERIOD: '10s' } });
  const made = await host.create(demoSpec('one', { volumes: [] }));
  const uid = made.spec?.uid ?? '';
  await host.until(uid, 'CREATED');
  const ready = async () => (await host.get(uid)).status?.conditions.find(({ type }) => type === 'NetworkReady');
  const until = (status: string) =>
    poll(`NetworkReady is ${status}`, 120_000, async () => {
      const now = await ready();
      return now?.status === status ? { is: now } : { not: now?.message ?? '' };
    });
  const doctor = async () =>
    (await host.tryInside(`${ROOT}/bin/flintlock`, 'doctor', '--state-dir', host.state, '--run-dir', host.run)).stdout;

  await host.tool('nft', 'add', 'table', 'inet', 'theirs');
  const chain = '{ type filter hook input priority 0; policy drop; }';
  await host.tool('nft', 'add', 'chain', 'inet', 'theirs', 'input', chain);
  const blocked = await until('False');
  expect(blocked).toMatchObject({
    reason: 'NetworkBlocked',
    message: expect.stringMatching(
      /cut off from DHCP: the chain inet theirs input refuses it by its policy\. To let them through: nft insert rule inet theirs input iifname "fl\w+br" udp dport 67 accept/,
    ),
  });
  expect(await doctor()).toMatch(/fail +way: dhcp +guests are cut off: the chain inet theirs input refuses it/);
  expect(host.log.match(/guests are cut off from DHCP/g)).toHaveLength(1);
  await host.tool('nft', 'delete', 'table', 'inet', 'theirs');
  await until('True');
  expect(await doctor()).toMatch(/ok +ways of guests +open: dhcp, dns, metadata/);
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
});

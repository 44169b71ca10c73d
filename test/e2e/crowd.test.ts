import { existsSync, readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { demoSpec, startHost } from '../support/daemon.ts';

const COUNT = 20;

test(`${COUNT} microVMs at once all run, the API stays quick, and all are deleted with nothing left`, async (t) => {
  const host = await startHost(t);
  await host.create(demoSpec('vm0', { volumes: [], interfaces: [] }));
  const latencies: number[] = [];
  let isOver = false;
  const probe = (async () => {
    while (!isOver) {
      for (const call of [() => host.vms.listMicroVMs({}), () => host.vms.getMicroVM({ id: 'vm0' })]) {
        const at = performance.now();
        await call();
        latencies.push(performance.now() - at);
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  const at = performance.now();
  const uids = await Promise.all(
    Array.from({ length: COUNT }, async (_, i) => (await host.create(demoSpec(`crowd${i}`))).spec?.uid ?? ''),
  );
  await Promise.all(uids.map((uid) => host.vms.waitMicroVM({ uid, until: 1, timeout: { seconds: 45n } })));
  const seconds = (performance.now() - at) / 1_000;
  isOver = true;
  await probe;

  latencies.sort((a, b) => a - b);
  const p99 = latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN;
  t.annotate(`${COUNT} CREATED in ${seconds.toFixed(2)} s; ${latencies.length} calls, p99 ${p99.toFixed(0)} ms`);
  expect(seconds).toBeLessThan(45);
  expect(p99).toBeLessThan(150);

  await host.vms.deleteMicroVM({ id: 'vm0' });
  for (const uid of uids) await host.vms.deleteMicroVM({ uid });
  await Promise.all(uids.map((uid) => host.untilGone(uid)));
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
  expect(host.processes().filter(({ argv }) => argv.join(' ').includes('qemu'))).toEqual([]);
  expect(JSON.parse(await host.tool('ip', '-j', 'link', 'show', 'type', 'tun'))).toEqual([]);
  // The network's own reservation, for what tries the ways of guests, stays.
  for (const root of [`${host.state}/vm`, `${host.run}/vm`, `${host.run}/network/hosts`])
    expect((existsSync(root) ? readdirSync(root) : []).filter((name) => name !== 'probe')).toEqual([]);
});

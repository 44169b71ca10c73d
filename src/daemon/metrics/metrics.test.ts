import { spawn } from 'node:child_process';
import { channel } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { expect, onTestFinished, test } from 'vitest';
import { startApi, tokensOf } from '../../../test/support/api.ts';
import { eventually, FakeClock } from '../../../test/support/fake-clock.ts';
import { FakeHost } from '../../../test/support/fake-host.ts';
import { fail, hang } from '../../../test/support/fake-world.ts';
import { memoryLog } from '../../../test/support/memory-log.ts';
import { parseExposition } from '../../../test/support/prometheus.ts';
import { Fault } from '../../domain/fault.ts';
import { STARTED_FOR_US } from '../../host/starter.ts';
import { DIRECT } from '../../ports/acts.ts';
import { limited } from '../acts/limits.ts';
import { Metrics } from './metrics.ts';
import type { StateSources } from './state.ts';

const FIGURES = { vcpu: 2, memoryInMb: 4_096, diskInMb: 100 };

/** The whole engine on a host that exists only in memory, with its metrics served over HTTP. */
async function serving(changes: Partial<StateSources> = {}) {
  const clock = new FakeClock();
  const log = memoryLog();
  const metrics = new Metrics({ version: '1.2.3', clock, log });
  onTestFinished(() => metrics.stop());
  const host = new FakeHost({
    acts: metrics.acts(limited(DIRECT)),
    meter: metrics,
    look: (look) => metrics.look(look),
  });
  metrics.watch({
    store: host.life.store,
    providers: ['qemu'],
    untoldProvider: 'qemu',
    capacity: async () => ({ capacity: FIGURES, used: { ...FIGURES, vcpu: 1 } }),
    limits: () => ({ vcpu: 8, microvms: 9 }),
    images: { list: async () => [] },
    imageCacheMax: 1_000,
    queue: () => ({ ...host.life.scheduler.depth(), waiting: { make: { disks: 3 }, unmake: {} } }),
    commits: () => host.database.commits,
    isReconciling: () => false,
    isCordoned: () => false,
    ...changes,
  });
  const api = await startApi({}, { metrics: () => metrics.text() });
  const fetchText = async (): Promise<string> => {
    const answer = await api.fetch('/metrics');
    expect([answer.status, answer.headers.get('content-type')]).toEqual([
      200,
      'text/plain; version=0.0.4; charset=utf-8',
    ]);
    return answer.text();
  };
  const value = async (series: string) => parseExposition(await fetchText()).values.get(series);
  return { host, metrics, clock, log, fetchText, value };
}

const STEP = 'flintlock_step_duration_seconds_count';

test('a microVM comes and goes, and a scrape over HTTP sees each of it', async () => {
  const { host, value } = await serving();
  expect(await value('flintlock_build_info{version="1.2.3",node="26.10.0"}')).toBe(
    process.versions.node === '26.10.0' ? 1 : undefined,
  );
  expect(await value('flintlock_microvms{state="CREATED",provider="qemu"}')).toBe(0);
  expect(await value(`${STEP}{step="tap",way="make"}`)).toBeUndefined();

  const uid = await host.create();
  await host.until(uid, 'CREATED');
  expect(await value('flintlock_microvms{state="CREATED",provider="qemu"}')).toBe(1);
  expect(await value(`${STEP}{step="tap",way="make"}`)).toBe(1);
  expect(await value(`${STEP}{step="vmm",way="make"}`)).toBe(1);
  expect(await value('flintlock_vcpus{kind="promised"}')).toBe(1);
  expect(await value('flintlock_memory_bytes{kind="promised"}')).toBe(128 * 2 ** 20);
  expect(await value('flintlock_reconcile_duration_seconds_count')).toBeGreaterThan(0);

  await host.delete(uid);
  await host.until(uid, 'gone');
  expect(await value('flintlock_microvms{state="CREATED",provider="qemu"}')).toBe(0);
  expect(await value(`${STEP}{step="vmm",way="unmake"}`)).toBe(1);
  expect(await value('flintlock_vcpus{kind="promised"}')).toBe(0);
  expect(await value('flintlock_reconcile_queue{which="working"}')).toBe(0);
});

test('what is put on the disk is counted, and not what is rolled back', async () => {
  const { host, value } = await serving();
  const before = Number(await value('flintlock_database_commits_total'));
  expect(before).toBeGreaterThan(0);
  host.database.transact(() => host.database.transact(() => undefined));
  const failing = () =>
    host.database.transact(() => {
      throw new Error('no');
    });
  expect(failing).toThrow('no');
  expect(await value('flintlock_database_commits_total')).toBe(before + 1);
});

test('each process is counted that is started, by whatever hand, until the metrics end', async () => {
  const { value, metrics } = await serving();
  expect(await value('flintlock_processes_started_total')).toBe(0);
  await once(spawn(process.execPath, ['--version'], { stdio: 'ignore' }), 'exit');
  expect(await value('flintlock_processes_started_total')).toBe(1);
  channel(STARTED_FOR_US).publish({ pid: 1 });
  expect(await value('flintlock_processes_started_total')).toBe(2);
  metrics.stop();
  await once(spawn(process.execPath, ['--version'], { stdio: 'ignore' }), 'exit');
  channel(STARTED_FOR_US).publish({ pid: 1 });
  expect(await value('flintlock_processes_started_total')).toBe(2);
});

test('a step that fails, and a guest that dies, are counted by their reason', async () => {
  const { host, value } = await serving();
  host.world.next('tap', fail(new Fault('tool', 'no tap', { reason: 'NetworkFailed' })));
  const uid = await host.create();
  await host.untilLater(uid, 'CREATED');
  expect(await value('flintlock_step_failures_total{step="tap",way="make"}')).toBe(1);
  expect(await value('flintlock_step_failures_total{step="vmm",way="make"}')).toBe(0);

  for (const process of host.world.processes.values()) process.end({ reason: 'GuestPanic', message: 'It panicked' });
  await eventually('the end is stored', () => host.vm(uid).lastEnd);
  expect(await value('flintlock_run_ends_total{reason="GuestPanic",state="PENDING"}')).toBe(1);
});

test('no name that a client gave, and no uid, becomes a label', async () => {
  const { host, fetchText } = await serving();
  const uid = await host.create({ id: 'secretid', namespace: 'secretns', labels: { secretlabel: 'x' } });
  await host.until(uid, 'CREATED');
  const text = await fetchText();
  expect(text).not.toContain(uid);
  expect(text).not.toContain('secret');
});

test('a record of a provider, or in a state, that is not built in is told as another', async () => {
  const tally = () => [
    { state: 'CREATED', provider: 'ghost', count: 2 } as const,
    { state: 'FAILED', provider: '', count: 1 } as const,
  ];
  const promised = () => ({ ...FIGURES, microvms: 3 });
  const { value } = await serving({ store: { tally, promised } });
  expect(await value('flintlock_microvms{state="CREATED",provider="other"}')).toBe(2);
  expect(await value('flintlock_microvms{state="FAILED",provider="qemu"}')).toBe(1);
});

test('figures and limits are as they are, in bytes', async () => {
  const bytes = 3_000_000;
  const image = { digest: 'd', references: [], bytes, goldens: [], pulledAt: 0, lastUsedAt: 0 };
  const { value, metrics } = await serving({ images: { list: async () => [image, image] } });
  expect(await value('flintlock_image_cache_bytes')).toBe(2 * bytes);
  expect(await value('flintlock_image_cache_images')).toBe(2);
  expect(await value('flintlock_image_cache_limit_bytes')).toBe(1_000);
  expect(await value('flintlock_vcpus{kind="limit"}')).toBe(8);
  expect(await value('flintlock_vcpus{kind="used"}')).toBe(1);
  expect(await value('flintlock_memory_bytes{kind="limit"}')).toBeUndefined();
  expect(await value('flintlock_disk_bytes{kind="capacity"}')).toBe(100 * 2 ** 20);
  expect(await value('flintlock_microvms_limit')).toBe(9);
  expect(await value('flintlock_steps_waiting{lane="disks",way="make"}')).toBe(3);
  metrics.pulledBytes(7);
  metrics.imageLookup('failed', {});
  metrics.imageLookup('done', { ms: 40 });
  expect(await value('flintlock_image_pulled_bytes_total')).toBe(7);
  expect(await value('flintlock_image_lookups_total{result="failed"}')).toBe(1);
  expect(await value('flintlock_image_lookups_total{result="done"}')).toBe(1);
  // Of registries alone: a look at a layout of this host takes nobody's time.
  expect(await value('flintlock_image_lookup_duration_seconds_sum{result="done"}')).toBe(0.04);
  expect(await value('flintlock_image_lookup_duration_seconds_count{result="failed"}')).toBeUndefined();
});

test('what cannot be had is left out and counted, and the rest is told', async () => {
  const list = () => Promise.reject(new Error('the disk is gone'));
  const { value, log } = await serving({ images: { list } });
  expect(await value('flintlock_image_cache_bytes')).toBeUndefined();
  expect(await value('flintlock_metrics_failures_total')).toBe(2);
  expect(await value('process_resident_memory_bytes')).toBeGreaterThan(10_000_000);
  expect(log.lines[0]?.message).toBe('a part of the metrics could not be collected');
});

test('a look at the disk that hangs holds up neither a scrape nor makes more of itself', async () => {
  let looks = 0;
  const capacity = () => {
    looks++;
    return new Promise<never>(() => undefined);
  };
  const { metrics, clock } = await serving({ capacity });
  for (let i = 0; i < 3; i++) {
    const timers = clock.waiting;
    const text = metrics.text();
    await eventually('the scrape has begun', () => clock.waiting > timers);
    clock.advance(2_000);
    expect(parseExposition(await text).values.get('flintlock_image_cache_images')).toBe(0);
  }
  expect(looks).toBe(1);
});

test('an audit is told of, whoever asked for it', async () => {
  const { host, metrics, clock, value } = await serving();
  expect(await value('flintlock_audit_leaks')).toBeUndefined();
  const audit = metrics.audit(() => host.audit());
  await host.until(await host.create(), 'CREATED');
  host.world.addPath('/state/vms/01GHOST', 'directory');
  await audit();
  expect(await value('flintlock_audit_leaks')).toBe(1);
  expect(await value('flintlock_audit_missing')).toBe(0);
  expect(await value('flintlock_audit_timestamp_seconds')).toBe(clock.now() / 1_000);
  expect(await value('flintlock_audits_total{result="failed"}')).toBe(0);
  await expect(metrics.audit(() => Promise.reject(new Error('no ip')))()).rejects.toThrow('no ip');
  expect(await value('flintlock_audits_total{result="failed"}')).toBe(1);
});

test('what waits while a step hangs is seen', async () => {
  const { host, value } = await serving();
  host.world.always('tap', hang);
  const uid = await host.create();
  await eventually('the tap is begun', () => host.world.calls.includes('tap'));
  expect(await value('flintlock_steps_in_progress{step="tap",way="make"}')).toBe(1);
  expect(await value('flintlock_reconcile_queue{which="working"}')).toBe(1);
  await host.delete(uid);
  await host.until(uid, 'gone');
  expect(await value('flintlock_steps_in_progress{step="tap",way="make"}')).toBe(0);
  expect(await value('flintlock_step_failures_total{step="tap",way="make"}')).toBe(0);
});

test('where there are tokens, the metrics are for those who may know of the whole host', async () => {
  const tokens = tokensOf(
    { name: 'eye', secret: 'a-token-for-reading', access: 'read-only' },
    { name: 'team', secret: 'a-token-for-a-team', namespace: 'team' },
  );
  const api = await startApi({}, { tokens, metrics: async () => '# EOF\n' });
  const ask = (secret?: string) =>
    api.fetch('/metrics', secret === undefined ? {} : { headers: { authorization: `Bearer ${secret}` } });
  const open = await ask();
  expect([open.status, await open.text()]).toEqual([401, expect.stringContaining('A token is needed')]);
  expect((await ask('a-token-for-nothing')).status).toBe(401);
  const team = await ask('a-token-for-a-team');
  expect([team.status, await team.text()]).toEqual([403, expect.stringContaining('token team is for \\"team\\" only')]);
  const eye = await ask('a-token-for-reading');
  expect([eye.status, await eye.text()]).toEqual([200, '# EOF\n']);
  expect((await api.fetch('/healthz')).status).toBe(200);
});

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { demoSpec, TestHost } from '../support/daemon.ts';
import { parseExposition } from '../support/prometheus.ts';

const SECRET = 'zq7-secret-of-the-user-data';
const TOKEN = 'zq7-token-of-the-operator';
const STEP = 'flintlock_step_duration_seconds_count';

/** What every process of this machine that names the directory was started with. */
function commandLines(directory: string): string {
  const read = (pid: string): string => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    } catch {
      return ''; // it has ended
    }
  };
  const lines = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(read);
  return lines.filter((line) => line.includes(directory)).join('\n');
}

test('a guest comes and goes, the counters move, and no secret of it or of its maker is told', async (t) => {
  const host = new TestHost({
    flags: ['--managed-network', '10.77.0.0/24', '--log-format', 'json', '--verbosity', '2'],
  });
  t.onTestFinished(() => host.close());
  const tokens = `${host.directory}/tokens`;
  writeFileSync(tokens, `- {name: ops, token: ${TOKEN}, access: read-write}\n`, { mode: 0o600 });
  await host.start('--tokens-file', tokens, '--http-endpoint', `unix://${host.run}/http.sock`);
  const scrape = async (): Promise<ReadonlyMap<string, number>> => {
    const { status, text } = await host.http('GET', '/metrics');
    expect(status).toBe(200);
    return parseExposition(text).values;
  };
  const before = await scrape();
  expect(before.get('flintlock_image_pulls_total{result="done"}')).toBe(0);

  const metadata = { 'user-data': Buffer.from(`#cloud-config\n# ${SECRET}`).toString('base64') };
  const headers = { authorization: `Bearer ${TOKEN}`, 'x-request-id': 'zq7-create' };
  const { microvm } = await host.vms.createMicroVM({ microvm: { ...demoSpec('told'), metadata } }, { headers });
  const uid = microvm?.spec?.uid ?? '';
  await host.until(uid, 'CREATED');
  const during = await scrape();
  expect(during.get('flintlock_microvms{state="CREATED",provider="qemu"}')).toBe(1);
  for (const step of ['image', 'volume', 'tap', 'vmm'])
    expect(during.get(`${STEP}{step="${step}",way="make"}`), step).toBeGreaterThan(0);
  expect(during.get('flintlock_image_pulls_total{result="done"}')).toBeGreaterThan(0);
  expect(during.get('flintlock_image_pulled_bytes_total')).toBeGreaterThan(100_000);
  expect(during.get('flintlock_image_cache_bytes')).toBeGreaterThan(100_000);
  const created = 'flintlock_grpc_calls_total{method="flintlock.microvm.v1.MicroVMService/CreateMicroVM",code="OK"}';
  expect(during.get(created)).toBe(1);
  expect(during.get('flintlock_memory_bytes{kind="promised"}')).toBeGreaterThan(0);
  expect(during.get('process_open_fds')).toBeGreaterThan(5);
  expect(during.get('flintlock_event_loop_delay_seconds{stat="max"}')).toBeGreaterThan(0);

  const running = commandLines(host.directory);
  expect(running).toContain('qemu');
  const wrong = { ...demoSpec('wrong'), metadata: { 'user-data': `not base64: ${SECRET}` } };
  const errors = [
    await host.vms.createMicroVM({ microvm: wrong }).catch(String),
    await host.vms.getMicroVM({ uid }, { headers: { authorization: `Bearer ${TOKEN}x` } }).catch(String),
    (await host.http('POST', '/v1/namespaces/default/microvms', `{"metadata": {"user-data": "${SECRET}", }}`)).text,
  ];
  expect(String(errors[1])).toContain('token');

  await host.vms.deleteMicroVM({ namespace: 'default', id: 'told' }, { headers: { 'x-request-id': 'zq7-delete' } });
  await host.untilGone(uid);
  const after = await scrape();
  expect(after.get('flintlock_microvms{state="CREATED",provider="qemu"}')).toBe(0);
  expect(after.get(`${STEP}{step="vmm",way="unmake"}`)).toBe(1);
  expect(after.get('flintlock_memory_bytes{kind="promised"}')).toBe(0);
  expect(after.get('flintlock_metrics_failures_total')).toBe(0);

  expect(await host.stop()).toBe(0);
  const lines = host.log.split('\n').filter((line) => line.startsWith('{'));
  const told = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(told).toContainEqual(
    expect.objectContaining({ msg: 'create microVM', request: 'zq7-create', who: 'token ops', uid, result: 'done' }),
  );
  expect(told).toContainEqual(
    expect.objectContaining({ msg: 'delete microVM', request: 'zq7-delete', who: 'unix socket', uid, result: 'done' }),
  );
  // What the engine did is nobody's call: it has the uid.
  expect(told.find(({ msg }) => msg === 'a microVM is gone')).toEqual(
    expect.not.objectContaining({ request: expect.anything() }),
  );
  for (const [where, text] of Object.entries({ log: host.log, errors: errors.join('\n'), running })) {
    const encoded = metadata['user-data'].slice(0, 40);
    for (const secret of [SECRET, TOKEN, encoded])
      expect(text.includes(secret), `${secret} in the ${where}`).toBe(false);
  }
});

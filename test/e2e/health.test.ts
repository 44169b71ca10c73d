import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import type { MicroVM } from '../../src/gen/types/microvm_pb.ts';
import { demoSpec, poll, ROOT, startHost } from '../support/daemon.ts';

const exec = promisify(execFile);

const healthOf = ({ status }: MicroVM): string => {
  const found = status?.conditions.find(({ type }) => type === 'Healthy');
  return `${found?.status} (${found?.reason}): ${found?.message}`;
};

test('a guest that is not well any more is ended and begun again', async (t) => {
  const host = await startHost(t);
  const healthCheck = {
    ...{ exec: ['sh', '-c', 'test ! -e /dev/sick || { echo it is sick; exit 9; }'], failures: 2 },
    ...{ interval: { seconds: 1n, nanos: 0 }, timeout: { seconds: 20n, nanos: 0 } },
    startPeriod: { seconds: 0n, nanos: 0 },
  };
  const uid = (await host.create(demoSpec('web', { healthCheck }))).spec?.uid ?? '';
  const untilWell = () =>
    poll('it is well', 120_000, async () => {
      const text = healthOf(await host.get(uid));
      return text.startsWith('True (HealthCheckPassed)') ? { is: text } : { not: text };
    });
  await untilWell();
  const [pid] = host.vmms(uid);
  await exec(`${ROOT}/bin/flintlock`, ['--host', `unix://${host.socket}`, 'exec', 'web', '--', 'touch', '/dev/sick']);
  const told = await poll('it is told', 120_000, async () => {
    const vm = await host.get(uid);
    return vm.status?.message.includes('The health check failed') ? { is: vm } : { not: healthOf(vm) };
  });
  expect(told.status?.message).toContain('failed 2 times in a row: it ended with exit status 9: it is sick');
  await poll('it is another run', 120_000, async () => {
    const [now] = host.vmms(uid);
    return now !== undefined && now !== pid ? { is: undefined } : { not: String(now) };
  });
  await untilWell();
  expect((await host.get(uid)).status?.message).toMatch(/^The guest runs again, after Unhealthy: The health check/);
});

import { expect, test } from 'vitest';
import { FakeHost } from '../../test/support/fake-host.ts';
import { Fault } from '../domain/fault.ts';
import type { GuestAgent } from '../ports/guest-agent.ts';
import type { PortOutput, PortTarget } from '../ports/guest-ports.ts';
import type { GuestStatistics } from '../ports/guest-statistics.ts';

const signal = new AbortController().signal;
const nothing = (async function* () {})();
const PORT: PortTarget = { is: 'tcp', host: '', port: 80 };

async function setUp(agent?: Partial<GuestAgent>) {
  const host = new FakeHost({ context: { agentOf: () => agent as GuestAgent | undefined } });
  const uid = await host.create();
  await host.until(uid, 'CREATED');
  const run = async (target = PORT) => {
    const all: PortOutput[] = [];
    for await (const one of host.life.services.forward({ uid, target }, nothing, signal)) all.push(one);
    return all;
  };
  const statistics = async () => {
    const all: GuestStatistics[] = [];
    const wanted = { uid, intervalMs: 1_000, processes: 0 };
    for await (const one of host.life.services.statistics(wanted, signal)) all.push(one);
    return all;
  };
  return { uid, run, statistics };
}

/** An agent whose every answer is this error. */
const failing = (error: Error): Partial<GuestAgent> => ({
  // biome-ignore lint/correctness/useYield: it fails
  async *connect() {
    throw error;
  },
  // biome-ignore lint/correctness/useYield: it fails
  async *statistics() {
    throw error;
  },
});

test('the agent does it', async () => {
  const { run } = await setUp({
    async *connect(target) {
      yield { is: 'opened' };
      yield { is: 'data', data: Buffer.from(JSON.stringify(target)) };
      yield { is: 'end' };
    },
  });
  expect(await run()).toMatchObject([{ is: 'opened' }, { data: Buffer.from(JSON.stringify(PORT)) }, { is: 'end' }]);
});

test('without an agent both are refused', async () => {
  const { run, statistics } = await setUp();
  const refused = { kind: 'refused', message: expect.stringContaining('has no guest agent to do it') };
  await expect(run()).rejects.toMatchObject(refused);
  await expect(statistics()).rejects.toMatchObject(refused);
});

test.each<[PortTarget, string]>([
  [PORT, 'port 80'],
  [{ is: 'tcp', host: '10.0.0.1', port: 5_432 }, '10.0.0.1:5432'],
  [{ is: 'tcp', host: '::1', port: 5_432 }, '[::1]:5432'],
  [{ is: 'unix', path: '/run/x.sock' }, '/run/x.sock'],
])('where nobody listens it is said where: %j', async (target, where) => {
  const { uid, run } = await setUp(failing(new Fault('refused', 'nobody listens there')));
  await expect(run(target)).rejects.toMatchObject({
    ...{ kind: 'refused', message: `Cannot connect to ${where} in microVM ${uid}: nobody listens there` },
  });
});

test('what breaks off is told as that', async () => {
  const { uid, run, statistics } = await setUp(failing(new Fault('tool', 'reset')));
  await expect(run()).rejects.toMatchObject({
    ...{ kind: 'tool', message: `The connection to port 80 in microVM ${uid} broke off: reset` },
  });
  await expect(statistics()).rejects.toMatchObject({
    kind: 'tool',
    message: expect.stringContaining('broke off: reset'),
  });
});

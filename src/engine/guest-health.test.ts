import { expect, test } from 'vitest';
import { FakeClock, turn } from '../../test/support/fake-clock.ts';
import { FakeHost } from '../../test/support/fake-host.ts';
import { idleAgent } from '../../test/support/idle-agent.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import type { HealthDraft } from '../domain/draft.ts';
import { Fault } from '../domain/fault.ts';
import type { Uid } from '../domain/microvm.ts';
import type { RestartPolicy } from '../domain/spec.ts';
import type { ExecOutput, ExecStart, GuestAgent } from '../ports/guest-agent.ts';
import type { RunningVmm } from '../ports/vmm.ts';
import { GuestHealth } from './guest-health.ts';

const exits = (code: number, timedOut = false): ExecOutput => ({ is: 'exit', code, timedOut });
const said = (text: string): ExecOutput => ({ is: 'stderr', data: Buffer.from(text) });

/** A guest that answers each question as `answers` says, the last one for ever. */
async function stage(
  answers: readonly (readonly ExecOutput[] | Error)[],
  {
    restartPolicy = 'ON_FAILURE',
    startMs = 0,
    asked: question = { exec: ['ask', 'it'] },
    connect,
  }: Partial<Pick<GuestAgent, 'connect'>> & {
    readonly restartPolicy?: RestartPolicy;
    readonly startMs?: number;
    readonly asked?: Partial<HealthDraft>;
  } = {},
) {
  const host = new FakeHost();
  const health = { exec: [], ...question, failures: 2, startMs };
  const uid = await host.create({ health, restartPolicy });
  await host.until(uid, 'CREATED');
  const [clock, asked] = [new FakeClock(), [] as ExecStart[]];
  const guest = { now: 'running' as RunningVmm['guest'], hasAgent: true };
  const agent: GuestAgent = {
    ...idleAgent(connect ? ['ports'] : []),
    ...(connect && { connect }),
    async *exec(start) {
      const answer = answers[Math.min(asked.push(start), answers.length) - 1] ?? [];
      if (answer instanceof Error) throw answer;
      yield* answer;
    },
  };
  const gaveUp: string[] = [];
  const asking = new GuestHealth({
    ...{ store: host.life.store, clock, log: memoryLog() },
    agentOf: () => (guest.hasAgent ? agent : undefined),
    begin: (_vm, start) => ({ ...start, user: 'app' }),
  });
  const running = {
    get guest() {
      return guest.now;
    },
    onBoot: () => undefined,
  } as Partial<RunningVmm> as RunningVmm;
  asking.follow(uid, running, async ({ message }) => void gaveUp.push(message));
  const condition = (): string => {
    const found = host.vm(uid).conditions.find(({ type }) => type === 'Healthy');
    return `${found?.status}: ${found?.message}`;
  };
  /** One question more. */
  const ask = async (): Promise<string> => {
    await turn();
    clock.advance(30_000);
    for (let i = 0; i < 20; i++) await turn();
    return condition();
  };
  return { ask, asked, gaveUp, guest, asking, uid: uid as Uid, condition };
}

test('it is well as long as the program ends with 0, and is asked as the image’s own program', async () => {
  const { ask, asked, condition } = await stage([[exits(0)]]);
  expect(condition()).toMatch(/^Unknown: /);
  expect(await ask()).toBe('True: The program of health_check ended with exit status 0');
  expect(asked).toEqual([expect.objectContaining({ command: 'ask', args: ['it'], user: 'app', timeoutSeconds: 10 })]);
});

test('failures in a row end it, with the last one’s words; a success between them counts anew', async () => {
  const { ask, gaveUp } = await stage([[exits(1)], [exits(0)], [exits(1)], [said('no\n'), exits(7)]]);
  await ask();
  expect(await ask()).toMatch(/^True/);
  expect(await ask()).toMatch(/^True/);
  expect(gaveUp).toEqual([]);
  expect(await ask()).toBe('False: The health check failed 2 times in a row: it ended with exit status 7: no');
  expect(gaveUp).toEqual(['The health check failed 2 times in a row: it ended with exit status 7: no']);
});

test.each([
  [[exits(143, true)], 'it did not end within 10 s'],
  [[], 'the agent did not say how it ended'],
  [new Fault('tool', 'The guest agent is gone'), 'The guest agent is gone'],
])('%j is a failure', async (answer, why) => {
  const { ask } = await stage([answer]);
  await ask();
  expect(await ask()).toContain(why);
});

test('a port that takes connections is well; one where nobody listens is not', async () => {
  let isThere = true;
  const { ask, asked } = await stage([], {
    asked: { tcp: { port: 5432 } },
    async *connect(target) {
      expect(target).toEqual({ is: 'tcp', host: '', port: 5432 });
      if (!isThere) throw new Fault('refused', 'nobody listens there');
      yield { is: 'opened' };
    },
  });
  expect(await ask()).toBe('True: Port 5432 of the guest took a connection');
  isThere = false;
  await ask();
  expect(await ask()).toBe('False: The health check failed 2 times in a row: port 5432: nobody listens there');
  expect(asked).toEqual([]);
});

test('a server that does not answer in time has failed', async () => {
  const { ask, gaveUp } = await stage([], {
    asked: { http: { port: 80, path: '', headers: {} } },
    async *connect(_target, _input, signal) {
      yield { is: 'opened' };
      await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    },
  });
  // Each is asked in one step of the clock, and late in the next.
  for (let i = 0; i < 4; i++) await ask();
  expect(gaveUp).toEqual(['The health check failed 2 times in a row: no answer came within 10 s']);
});

test('of an agent that reaches no ports nothing is concluded', async () => {
  const { ask, gaveUp } = await stage([], { asked: { tcp: { port: 1 } } });
  for (let i = 0; i < 3; i++)
    expect(await ask()).toMatch(
      /^Unknown: .* its agent, version 1, reaches no ports of it; health_check.exec it can run/,
    );
  expect(gaveUp).toEqual([]);
});

test('with NEVER it is told alone, and may be well again', async () => {
  const { ask, gaveUp } = await stage([[exits(1)], [exits(1)], [exits(0)]], { restartPolicy: 'NEVER' });
  await ask();
  expect(await ask()).toMatch(/^False/);
  expect(gaveUp).toEqual([]);
  expect(await ask()).toMatch(/^True/);
});

test('no failure counts in the beginning, while it is paused, or before an agent came', async () => {
  const early = await stage([[exits(1)]], { startMs: 100_000 });
  for (let i = 0; i < 3; i++) expect(await early.ask()).toMatch(/^Unknown/);
  const { ask, asked, guest } = await stage([[exits(1)]]);
  guest.now = 'paused';
  for (let i = 0; i < 3; i++) await ask();
  guest.now = 'running';
  guest.hasAgent = false;
  for (let i = 0; i < 3; i++) expect(await ask()).toMatch(/^Unknown/);
  expect(asked).toEqual([]);
  guest.hasAgent = true;
  await ask();
  guest.hasAgent = false;
  expect(await ask()).toContain('no agent answers in the guest');
});

test('one that is left is asked no more', async () => {
  const { ask, asked, asking, uid } = await stage([[exits(0)]]);
  await ask();
  asking.leave(uid);
  await ask();
  expect(asked).toHaveLength(1);
});

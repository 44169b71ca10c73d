import { expect, test } from 'vitest';
import { FakeClock, turn } from '../../test/support/fake-clock.ts';
import { FakeHost } from '../../test/support/fake-host.ts';
import { idleAgent } from '../../test/support/idle-agent.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
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
  }: { readonly restartPolicy?: RestartPolicy; readonly startMs?: number } = {},
) {
  const host = new FakeHost();
  const health = { exec: ['ask', 'it'], failures: 2, startMs };
  const uid = await host.create({ health, restartPolicy });
  await host.until(uid, 'CREATED');
  const [clock, asked] = [new FakeClock(), [] as ExecStart[]];
  const guest = { now: 'running' as RunningVmm['guest'], hasAgent: true };
  const agent: GuestAgent = {
    ...idleAgent(),
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

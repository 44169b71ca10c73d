import { expect, onTestFinished, test, vi } from 'vitest';
import { FakeClock, turn } from '../../test/support/fake-clock.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { Fault } from '../domain/fault.ts';
import type { Condition, MicroVm, Uid } from '../domain/microvm.ts';
import type { Channel } from '../ports/channel.ts';
import type { AgentMeeting, GuestAgent } from '../ports/guest-agent.ts';
import type { Store } from '../ports/store.ts';
import type { RunningVmm } from '../ports/vmm.ts';
import { GuestAgents } from './guest-agents.ts';

const uid = 'x' as Uid;
const channel: Channel = {
  write: async () => undefined,
  async *read() {},
  closed: new Promise(() => undefined),
  close: () => undefined,
};
const agent: GuestAgent = { info: { version: '1', uname: '', features: [] }, async *exec() {}, async *ssh() {} };

function makeBed({ options = {}, conditions = [] as Condition[] } = {}) {
  const clock = new FakeClock();
  let vm = {
    ...{ uid, conditions, spec: { providerOptions: options } },
    state: { is: 'CREATED', reason: 'Running', message: 'The guest runs' },
  } as unknown as MicroVm;
  const store: Pick<Store, 'get' | 'update'> = {
    get: () => vm,
    update: (_uid, change) => {
      vm = change(vm) ?? vm;
      return vm;
    },
  };
  const meetings: { answer(meeting: AgentMeeting): void }[] = [];
  const state = { opened: 0, refusal: undefined as Fault | undefined };
  const agents = new GuestAgents({
    ...{ store: store as Store, clock, log: memoryLog() },
    openWay: async () => {
      state.opened++;
      if (state.refusal) throw state.refusal;
      return { is: 'channel', channel };
    },
    meet: (_channel, _isRunning, signal) =>
      new Promise((answer, reject) => {
        meetings.push({ answer });
        signal.addEventListener('abort', () => reject(signal.reason));
      }),
  });
  onTestFinished(() => agents.leave(uid));
  const running = { guest: 'running' } as Partial<RunningVmm> as RunningVmm;
  const ready = () => vm.conditions.find(({ type }) => type === 'AgentReady');
  return { clock, agents, running, ready, meetings, state };
}

test('an agent that answers is told of, can be had, and is asked for again when it has gone', async () => {
  const { clock, agents, running, ready, meetings } = makeBed();
  agents.follow(uid, running, 'now');
  await vi.waitFor(() => expect(meetings).toHaveLength(1));
  expect([agents.of(uid), ready()]).toEqual([undefined, undefined]);
  const { promise: over, resolve: goAway } = Promise.withResolvers<string>();
  meetings[0]?.answer({ agent, over, close: () => undefined });
  await vi.waitFor(() => expect(ready()).toMatchObject({ status: 'True', reason: 'AgentAnswers' }));
  expect(agents.of(uid)).toBe(agent);
  goAway('it has not answered for 10 s');
  await vi.waitFor(() => expect(ready()).toMatchObject({ status: 'False', reason: 'AgentGone' }));
  expect(agents.of(uid)).toBeUndefined();
  clock.advance(500);
  await vi.waitFor(() => expect(meetings).toHaveLength(2));
});

test('that none answers is told after a minute of a running CPU', async () => {
  const { clock, agents, running, ready, meetings } = makeBed();
  agents.follow(uid, running, 'now');
  await vi.waitFor(() => expect(meetings).toHaveLength(1));
  clock.advance(60_000);
  await turn();
  expect(ready()).toMatchObject({ status: 'False', reason: 'AgentNotSeen' });
});

test('what has no port is told to be restarted, and asked again less and less often', async () => {
  const { clock, agents, running, ready, state } = makeBed();
  state.refusal = new Fault('refused', 'no such socket');
  agents.follow(uid, running, 'earlier');
  await vi.waitFor(() => expect(ready()).toMatchObject({ status: 'False', reason: 'NoAgentChannel' }));
  expect(ready()?.message).toContain('restart it once');
  for (let i = 0; i < 60; i++) {
    clock.advance(1_000);
    await turn();
  }
  expect(state.opened).toBeLessThan(15);
});

test('with agent off nothing is asked and nothing is said', async () => {
  const { agents, running, ready, state } = makeBed({ options: { agent: 'off' } });
  agents.follow(uid, running, 'now');
  await turn();
  expect([state.opened, ready()]).toEqual([0, undefined]);
});

test('of a run that begins what was told of the one before is not true any more', () => {
  const conditions: Condition[] = [
    {
      type: 'AgentReady',
      status: 'True',
      reason: 'AgentAnswers',
      message: 'The guest agent answers',
      lastTransitionAt: 1,
    },
  ];
  const { agents, running, ready } = makeBed({ conditions });
  agents.follow(uid, running, 'now');
  expect(ready()).toMatchObject({ status: 'Unknown', reason: 'AgentNotSeen' });
});

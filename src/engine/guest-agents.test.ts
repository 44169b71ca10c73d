import { expect, onTestFinished, test, vi } from 'vitest';
import { FakeClock, turn } from '../../test/support/fake-clock.ts';
import { idleAgent } from '../../test/support/idle-agent.ts';
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
const agent: GuestAgent = idleAgent();

function makeBed({
  options = {},
  conditions = [] as Condition[],
  untold = undefined as string | undefined,
  patience = 1,
} = {}) {
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
  const state = { opened: 0, refusal: undefined as Fault | undefined, halted: [] as Uid[] };
  const agents = new GuestAgents({
    ...{ store: store as Store, clock, log: memoryLog(), patience },
    openWay: async () => {
      state.opened++;
      if (state.refusal) throw state.refusal;
      return { is: 'channel', channel };
    },
    onHalt: async (whose) => void state.halted.push(whose),
    meet: (_channel, _isRunning, signal) =>
      new Promise((answer, reject) => {
        meetings.push({ answer });
        signal.addEventListener('abort', () => reject(signal.reason));
      }),
  });
  onTestFinished(() => agents.leave(uid));
  const listeners: Parameters<RunningVmm['onGuest']>[0][] = [];
  const onGuest: RunningVmm['onGuest'] = (listener) => void listeners.push(listener);
  const running = { guest: 'running', onGuest, ...(untold !== undefined && { untold }) };
  const ready = () => vm.conditions.find(({ type }) => type === 'AgentReady');
  const power = () => vm.conditions.find(({ type }) => type === 'PowerStateVisible');
  const standStill = (clockBehindMs: number): void => {
    vm = { ...vm, clockBehindMs };
    for (const listener of listeners) listener('running');
  };
  return {
    ...{ clock, agents, running: running as Partial<RunningVmm> as RunningVmm, meetings, state },
    ...{ ready, power, standStill, behind: () => vm.clockBehindMs },
  };
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

test('who wants an agent that is not met yet has it when it is, or hears that it was not in time', async () => {
  const { clock, agents, running, meetings } = makeBed();
  agents.follow(uid, running, 'earlier');
  await vi.waitFor(() => expect(meetings).toHaveLength(1));
  const never = new AbortController().signal;
  const late = agents.soon(uid, never);
  clock.advance(10_000);
  expect(await late).toBeUndefined();
  const [first, second] = [agents.soon(uid, never), agents.soon(uid, never)];
  const gone = agents.soon(uid, AbortSignal.abort(new Error('hung up')));
  await expect(gone).rejects.toThrow('hung up');
  meetings[0]?.answer({ agent, over: new Promise(() => undefined), close: () => undefined });
  expect(await Promise.all([first, second])).toEqual([agent, agent]);
  expect(await agents.soon(uid, never)).toBe(agent);
});

test('that none answers is told after a minute of a running CPU', async () => {
  const { clock, agents, running, ready, meetings } = makeBed();
  agents.follow(uid, running, 'now');
  await vi.waitFor(() => expect(meetings).toHaveLength(1));
  clock.advance(60_000);
  await turn();
  expect(ready()).toMatchObject({ status: 'False', reason: 'AgentNotSeen' });
});

test('on a slow host that is told as much later as it is to be patient', async () => {
  const { clock, agents, running, ready, meetings } = makeBed({ patience: 5 });
  agents.follow(uid, running, 'now');
  await vi.waitFor(() => expect(meetings).toHaveLength(1));
  clock.advance(299_000);
  await turn();
  expect(ready()?.status).not.toBe('False');
  clock.advance(1_000);
  await turn();
  expect(ready()).toMatchObject({ status: 'False', message: expect.stringMatching(/in 300 s: .*--patience/) });
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

test('an agent sets the clock of a guest that stood still, when it goes on and when it is met later', async () => {
  const { agents, running, meetings, standStill, behind } = makeBed();
  agents.follow(uid, running, 'now');
  await vi.waitFor(() => expect(meetings).toHaveLength(1));
  standStill(5_000);
  expect(behind()).toBe(5_000);
  const setClock = vi.fn(async () => 5_000);
  const meeting = { over: new Promise<string>(() => undefined), close: () => undefined };
  meetings[0]?.answer({ ...meeting, agent: { ...agent, setClock } });
  await vi.waitFor(() => expect(behind()).toBeUndefined());
  standStill(7_000);
  await vi.waitFor(() => expect(behind()).toBeUndefined());
  expect(setClock).toHaveBeenCalledTimes(2);
});

test('where the VMM does not tell of a guest’s power its agent does, while it is there and at its end', async () => {
  const { agents, running, meetings, power, state } = makeBed({ untold: 'It does not tell' });
  agents.follow(uid, running, 'now');
  await vi.waitFor(() => expect(meetings).toHaveLength(1));
  const { promise: over, resolve: goAway } = Promise.withResolvers<string>();
  const watching = { ...agent, info: { ...agent.info, features: ['watch'] } };
  meetings[0]?.answer({ agent: watching, over, hasHalted: () => true, close: () => undefined });
  await vi.waitFor(() => expect(power()).toMatchObject({ status: 'True', reason: 'AgentAnswers' }));
  goAway('its guest has shut down');
  await vi.waitFor(() => expect(state.halted).toEqual([uid]));
  expect(power()).toMatchObject({ status: 'False', reason: 'PowerStateUntold' });
});

import { expect, test } from 'vitest';
import { allOf } from '../../test/support/all-of.ts';
import { FakeHost } from '../../test/support/fake-host.ts';
import { FAKE_CAPABILITIES, fakeVmm } from '../../test/support/fake-processes.ts';
import { FakeWorld } from '../../test/support/fake-world.ts';
import { idleAgent } from '../../test/support/idle-agent.ts';
import { agentAnswers, agentSays, noAgentChannel } from '../domain/agent-report.ts';
import { Fault } from '../domain/fault.ts';
import type { Uid } from '../domain/microvm.ts';
import type { ExecOutput, GuestAgent } from '../ports/guest-agent.ts';

const START = {
  ...{ command: 'true', args: [], directory: '', environment: {}, shell: false, user: '' },
  ...{ timeoutSeconds: 0, hasStdin: false },
};
const signal = new AbortController().signal;
const nothing = (async function* () {})();

function agentThat(exec: () => AsyncIterable<ExecOutput>): GuestAgent {
  return { ...idleAgent(), exec };
}

async function setUp(agent?: GuestAgent) {
  const host = new FakeHost({ context: { agentOf: () => agent } });
  const uid = await host.create();
  await host.until(uid, 'CREATED');
  const run = async () => {
    const all: ExecOutput[] = [];
    for await (const one of host.life.services.exec({ uid, start: START }, nothing, signal)) all.push(one);
    return all;
  };
  return { host, uid, run };
}

test('the agent does it', async () => {
  const exit: ExecOutput = { is: 'exit', code: 3, timedOut: false };
  const { run, host, uid } = await setUp(
    agentThat(async function* () {
      yield exit;
    }),
  );
  expect(await run()).toEqual([exit]);
  expect(await host.life.services.agentInfo({ uid }, signal)).toMatchObject({ version: '1' });
});

test('without an agent it is refused, and said what is known of one', async () => {
  const { run } = await setUp();
  await expect(run()).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringContaining('no agent has answered'),
  });
});

test('an agent that the daemon before has met is waited for; one that is not met in time is a fault that passes', async () => {
  const exit: ExecOutput = { is: 'exit', code: 0, timedOut: false };
  let agent: GuestAgent | undefined = agentThat(async function* () {
    yield exit;
  });
  const host = new FakeHost({ context: { agentSoon: async () => agent } });
  const uid = await host.create();
  await host.until(uid, 'CREATED');
  const run = () => allOf(host.life.services.exec({ uid, start: START }, nothing, signal));
  await expect(run()).rejects.toMatchObject({ kind: 'refused' }); // nobody has met one
  host.life.store.update(uid, (vm) => agentSays(vm, agentAnswers(idleAgent().info), 1));
  expect(await run()).toEqual([exit]);
  agent = undefined;
  await expect(run()).rejects.toMatchObject({ kind: 'tool', message: expect.stringContaining('try again') });
});

test('an agent that goes away meanwhile cut it off, and what became of the guest is told', async () => {
  const { run } = await setUp(
    agentThat(async function* () {
      yield { is: 'stdout', data: Buffer.from('begun') };
      throw new Fault('tool', 'The guest agent is gone: it was let go of');
    }),
  );
  await expect(run()).rejects.toMatchObject({ kind: 'tool', message: expect.stringContaining('was cut off') });
});

test('an agent is waited for, and not where there will be none', async () => {
  const { host, uid } = await setUp();
  const wait = (whose: Uid) => host.life.services.wait({ uid: whose, until: 'AGENT', timeoutMs: 1_000 }, signal);
  const waiting = wait(uid);
  host.life.store.update(uid, (vm) => agentSays(vm, agentAnswers({ version: '1' }), 1));
  expect((await waiting).uid).toBe(uid);
  const off = await host.create({ id: 'off', providerOptions: { agent: 'off' } });
  await host.until(off, 'CREATED');
  const refused = (why: string) => ({
    ...{ kind: 'refused', reason: 'NoAgentChannel', message: expect.stringContaining(why) },
  });
  await expect(wait(off)).rejects.toMatchObject(refused('agent off'));
  host.life.store.update(uid, (vm) => agentSays(vm, noAgentChannel('restart it once'), 2));
  await expect(wait(uid)).rejects.toMatchObject(refused('restart it once'));
});

test('where the kind of machine has no way to an agent, none is waited for, not even before the guest runs', async () => {
  const machine = { ...FAKE_CAPABILITIES, channels: ['console' as const] };
  const host = new FakeHost({
    context: { vmms: [{ ...fakeVmm(new FakeWorld(), { dead: false, isNamed: () => true }), capabilities: machine }] },
  });
  const uid = await host.create();
  const waiting = host.life.services.wait({ uid, until: 'AGENT', timeoutMs: 60_000 }, signal);
  await expect(waiting).rejects.toMatchObject({
    ...{ kind: 'refused', reason: 'NoAgentChannel', message: expect.stringContaining('no way to one') },
  });
});

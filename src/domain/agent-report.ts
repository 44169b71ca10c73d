import { reported } from './conditions.ts';
import type { Condition, MicroVm, Millis } from './microvm.ts';

/** What `AgentReady` says, and why. */
export interface AgentReport {
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: 'AgentAnswers' | 'AgentNotSeen' | 'AgentGone' | 'NoAgentChannel';
  readonly message: string;
}

/** So long the CPU of a guest may run with no answer of an agent before that is told. */
export const AGENT_UNSEEN_MS = 60_000;

const HOW =
  'flintlock-agent must run in it, as it does in the guests of docs/guests.md, and its kernel needs virtio_console, or virtio_vsock where its VMM has that. One that boots slowly is given longer by flintlockd --patience';

export const agentAnswers = ({ version }: { readonly version: string }): AgentReport => ({
  status: 'True',
  reason: 'AgentAnswers',
  message: `The guest agent answers, version ${version === '' ? 'not told' : version}`,
});

export const agentNotSeenYet: AgentReport = {
  status: 'Unknown',
  reason: 'AgentNotSeen',
  message: 'No agent of this guest has answered yet',
};

export const agentUnseen = (forMs: number): AgentReport => ({
  status: 'False',
  reason: 'AgentNotSeen',
  message: `No agent has answered in ${Math.round(forMs / 1000)} s: ${HOW}`,
});

export const agentGone = (why: string): AgentReport => ({
  status: 'False',
  reason: 'AgentGone',
  message: `The guest agent is gone: ${why}`,
});

export const noAgentChannel = (why: string): AgentReport => ({
  status: 'False',
  reason: 'NoAgentChannel',
  message: why,
});

/** What is known of its agent. */
export const agentSays = (vm: MicroVm, report: AgentReport, now: Millis): MicroVm | undefined =>
  reported(vm, 'AgentReady', report, now);

export const agentCondition = ({ conditions }: Pick<MicroVm, 'conditions'>): Condition | undefined =>
  conditions.find(({ type }) => type === 'AgentReady');

/** Whether a spec wants its guest to have a way to an agent: all do that do not say `off`. */
export const wantsAgent = (options: Readonly<Record<string, string>>): boolean => options.agent !== 'off';

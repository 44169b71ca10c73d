import {
  AGENT_UNSEEN_MS,
  type AgentReport,
  agentAnswers,
  agentCondition,
  agentGone,
  agentNotSeenYet,
  agentSays,
  agentUnseen,
  noAgentChannel,
  wantsAgent,
} from '../domain/agent-report.ts';
import { Fault } from '../domain/fault.ts';
import type { Uid } from '../domain/microvm.ts';
import type { Channel } from '../ports/channel.ts';
import type { Clock } from '../ports/clock.ts';
import type { GuestAgent, MeetAgent } from '../ports/guest-agent.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';
import type { RunningVmm } from '../ports/vmm.ts';

export interface GuestAgentsDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly meet: MeetAgent;
  /**
   * @returns undefined where its kind of machine has no way to an agent
   * @throws Fault `refused` where this one has none
   */
  openChannel(uid: Uid, signal: AbortSignal): Promise<Channel | undefined>;
}

/** After a meeting that has ended, or a channel that could not be opened. */
const AGAIN_MS = 500;
const AGAIN_MOST_MS = 10_000;

/** Keeps in touch with the agent of each guest that runs, and stores whether it answers as the condition `AgentReady`. */
export class GuestAgents {
  readonly #deps: GuestAgentsDeps;
  readonly #kept = new Map<Uid, AbortController>();
  readonly #met = new Map<Uid, GuestAgent>();

  constructor(deps: GuestAgentsDeps) {
    this.#deps = deps;
  }

  /** The agent of a guest, while it answers. */
  of(uid: Uid): GuestAgent | undefined {
    return this.#met.get(uid);
  }

  /** @param began - `earlier`: what was told of the agent may still be so */
  follow(uid: Uid, running: RunningVmm, began: 'now' | 'earlier'): void {
    this.leave(uid);
    const vm = this.#deps.store.get(uid);
    if (!vm || !wantsAgent(vm.spec.providerOptions)) return;
    if (began === 'now' && agentCondition(vm)) this.#say(uid, agentNotSeenYet);
    const leaving = new AbortController();
    this.#kept.set(uid, leaving);
    void this.#keep(uid, running, leaving.signal).catch((error: unknown) => {
      if (!leaving.signal.aborted) this.#deps.log.error('the agent of a guest is no longer asked for', { uid, error });
    });
  }

  leave(uid: Uid): void {
    this.#kept.get(uid)?.abort(new Error('the guest is left'));
    this.#kept.delete(uid);
    this.#met.delete(uid);
  }

  async #keep(uid: Uid, running: RunningVmm, signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    const stopWaiting = this.#tellWhenUnseen(uid, running, signal);
    try {
      for (let pause = AGAIN_MS; ; pause = Math.min(pause * 2, AGAIN_MOST_MS)) {
        let channel: Channel | undefined;
        try {
          channel = await this.#deps.openChannel(uid, signal);
        } catch (error) {
          signal.throwIfAborted();
          if (!(error instanceof Fault)) throw error;
          if (error.kind === 'refused') this.#say(uid, noAgentChannel(`${RESTART}: ${error.message}`));
          await clock.sleep(pause, signal);
          continue;
        }
        if (!channel) return;
        if (await this.#stayInTouch(uid, running, channel, stopWaiting, signal)) pause = AGAIN_MS;
        await clock.sleep(pause, signal);
      }
    } finally {
      stopWaiting();
    }
  }

  /** @returns whether one was met */
  async #stayInTouch(
    uid: Uid,
    running: RunningVmm,
    channel: Channel,
    stopWaiting: () => void,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { meet, log } = this.#deps;
    try {
      const { agent, over, close } = await meet(channel, () => running.guest === 'running', signal);
      stopWaiting();
      signal.addEventListener('abort', close, { once: true });
      this.#met.set(uid, agent);
      this.#say(uid, agentAnswers(agent.info));
      log.info('a guest agent answers', { uid, version: agent.info.version, features: agent.info.features.join(' ') });
      const why = await over;
      signal.removeEventListener('abort', close);
      signal.throwIfAborted();
      this.#met.delete(uid);
      this.#say(uid, agentGone(why));
      log.info('a guest agent is gone', { uid, why });
      return true;
    } catch (error) {
      channel.close();
      signal.throwIfAborted();
      log.debug('no guest agent was met', { uid, error });
      return false;
    }
  }

  /** Counts only while the guest's CPUs run. @returns how to stop */
  #tellWhenUnseen(uid: Uid, running: RunningVmm, signal: AbortSignal): () => void {
    const { clock } = this.#deps;
    let stop = (): void => undefined;
    const wait = (): void => {
      stop = clock.after(AGENT_UNSEEN_MS, () => {
        if (signal.aborted) return;
        if (running.guest === 'running') this.#say(uid, agentUnseen(AGENT_UNSEEN_MS));
        else wait();
      });
    };
    wait();
    return () => stop();
  }

  #say(uid: Uid, report: AgentReport): void {
    const { store, clock, log } = this.#deps;
    try {
      store.update(uid, (vm) => agentSays(vm, report, clock.now()));
    } catch (error) {
      log.warn('whether a guest agent answers could not be stored', { uid, error });
    }
  }
}

const RESTART =
  'It has no port for a guest agent, because it was started before there was one, or its disks and interfaces take all places; restart it once, or have fewer';

import { orAborted } from '../base/or-aborted.ts';
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
import { powerSeen, powerSeenByAgent } from '../domain/conditions.ts';
import { Fault } from '../domain/fault.ts';
import type { Uid } from '../domain/microvm.ts';
import type { Clock } from '../ports/clock.ts';
import type { AgentWay, GuestAgent, MeetAgent } from '../ports/guest-agent.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';
import type { RunningVmm } from '../ports/vmm.ts';
import { setClockOf } from './guest-clock.ts';

export interface GuestAgentsDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly meet: MeetAgent;
  /** What limits of time are multiplied by on a slow host. Default: 1. */
  readonly patience?: number | undefined;
  /**
   * @returns undefined where its kind of machine has no way to an agent
   * @throws Fault `refused` where this one has none
   */
  openWay(uid: Uid, signal: AbortSignal): Promise<AgentWay | undefined>;
  /** Called when a guest is known to have shut down whose VMM does not tell that itself; absent: that is left. */
  onHalt?(uid: Uid): Promise<void>;
}

/** After a meeting that has ended, or a channel that could not be opened. */
const AGAIN_MS = 500;
const AGAIN_MOST_MS = 10_000;
/** So long a call waits for an agent to be met that has answered the daemon before. */
const SOON_MS = 10_000;

/** Keeps in touch with the agent of each guest that runs, and stores whether it answers as the condition `AgentReady`. */
export class GuestAgents {
  readonly #deps: GuestAgentsDeps;
  readonly #kept = new Map<Uid, AbortController>();
  readonly #met = new Map<Uid, GuestAgent>();
  readonly #awaited = new Map<Uid, Set<(agent: GuestAgent) => void>>();

  constructor(deps: GuestAgentsDeps) {
    this.#deps = deps;
  }

  /** The agent of a guest, while it answers. */
  of(uid: Uid): GuestAgent | undefined {
    return this.#met.get(uid);
  }

  /**
   * The same, waited for.
   * @returns undefined where none is met in time
   * @throws the signal's reason
   */
  async soon(uid: Uid, signal: AbortSignal): Promise<GuestAgent | undefined> {
    const { promise, resolve } = Promise.withResolvers<GuestAgent | undefined>();
    const awaited = this.#awaited.get(uid) ?? new Set();
    this.#awaited.set(uid, awaited.add(resolve));
    const stop = this.#deps.clock.after(SOON_MS * (this.#deps.patience ?? 1), () => resolve(undefined));
    try {
      return this.of(uid) ?? (await orAborted(promise, signal));
    } finally {
      stop();
      awaited.delete(resolve);
      if (awaited.size === 0) this.#awaited.delete(uid);
    }
  }

  /** @param began - `earlier`: what was told of the agent may still be so */
  follow(uid: Uid, running: RunningVmm, began: 'now' | 'earlier'): void {
    this.leave(uid);
    const vm = this.#deps.store.get(uid);
    if (!vm || !wantsAgent(vm.spec.providerOptions)) return;
    if (began === 'now' && agentCondition(vm)) this.#say(uid, agentNotSeenYet);
    const leaving = new AbortController();
    this.#kept.set(uid, leaving);
    running.onGuest((guest) => {
      if (guest === 'running') this.#setClock(uid, leaving.signal);
    });
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
        try {
          const way = await this.#deps.openWay(uid, signal);
          if (!way) return;
          if (await this.#stayInTouch(uid, running, way, stopWaiting, signal)) pause = AGAIN_MS;
        } catch (error) {
          signal.throwIfAborted();
          if (!(error instanceof Fault)) throw error;
          if (error.kind === 'refused') this.#say(uid, noAgentChannel(`${RESTART}: ${error.message}`));
        }
        await clock.sleep(pause, signal);
      }
    } finally {
      stopWaiting();
    }
  }

  /** @returns whether one was met. @throws Fault `refused` when there is no way to it */
  async #stayInTouch(
    uid: Uid,
    running: RunningVmm,
    way: AgentWay,
    stopWaiting: () => void,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { meet, log } = this.#deps;
    try {
      const { agent, over, hasHalted, close } = await meet(way, () => running.guest === 'running', signal);
      stopWaiting();
      signal.addEventListener('abort', close, { once: true });
      this.#met.set(uid, agent);
      for (const told of this.#awaited.get(uid) ?? []) told(agent);
      this.#say(uid, agentAnswers(agent.info));
      this.#setClock(uid, signal);
      this.#sayPower(uid, running, agent.info.features.includes('watch'));
      log.info('a guest agent answers', { uid, version: agent.info.version, features: agent.info.features.join(' ') });
      const why = await over;
      signal.removeEventListener('abort', close);
      signal.throwIfAborted();
      this.#met.delete(uid);
      this.#say(uid, agentGone(why));
      this.#sayPower(uid, running, false);
      log.info('a guest agent is gone', { uid, why });
      if (hasHalted?.() && running.untold !== undefined) await this.#halted(uid);
      return true;
    } catch (error) {
      if (way.is === 'channel') way.channel.close();
      signal.throwIfAborted();
      if (error instanceof Fault && error.kind === 'refused') throw error;
      log.debug('no guest agent was met', { uid, error });
      return false;
    }
  }

  /** After a time when its CPU stood still; an agent that is not met yet sets it when it is. */
  #setClock(uid: Uid, signal: AbortSignal): void {
    const agent = this.#met.get(uid);
    if (agent && !signal.aborted) void setClockOf(uid, agent, this.#deps, signal);
  }

  /** Counts only while the guest's CPUs run. @returns how to stop */
  #tellWhenUnseen(uid: Uid, running: RunningVmm, signal: AbortSignal): () => void {
    const { clock, patience = 1 } = this.#deps;
    const unseenMs = AGENT_UNSEEN_MS * patience;
    let stop = (): void => undefined;
    const wait = (): void => {
      stop = clock.after(unseenMs, () => {
        if (signal.aborted) return;
        if (running.guest === 'running') this.#say(uid, agentUnseen(unseenMs));
        else wait();
      });
    };
    wait();
    return () => stop();
  }

  async #halted(uid: Uid): Promise<void> {
    try {
      await this.#deps.onHalt?.(uid);
    } catch (error) {
      this.#deps.log.error('that a guest has shut down could not be stored', { uid, error });
    }
  }

  /** Of a VMM that does not tell all of its guest's power itself. */
  #sayPower(uid: Uid, { untold }: RunningVmm, isToldByAgent: boolean): void {
    if (untold === undefined) return;
    const { store, clock, log } = this.#deps;
    try {
      store.update(uid, (vm) =>
        isToldByAgent ? powerSeenByAgent(vm, clock.now()) : powerSeen(vm, untold, clock.now()),
      );
    } catch (error) {
      log.warn('what is seen of the power of a guest could not be stored', { uid, error });
    }
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
  'It has no way to a guest agent, because it was started before there was one, or its disks and interfaces take all places; restart it once, or have fewer';

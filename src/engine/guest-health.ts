import { errorMessage } from '../base/error-text.ts';
import { reported } from '../domain/conditions.ts';
import { type HealthCheck, type HealthReport, healthUnknown, healthy, unhealthy } from '../domain/health.ts';
import type { MicroVm, Uid } from '../domain/microvm.ts';
import { oneLine } from '../domain/one-line.ts';
import type { Clock } from '../ports/clock.ts';
import type { ExecStart, GuestAgent } from '../ports/guest-agent.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';
import type { RunningVmm } from '../ports/vmm.ts';
import { askGuest, lackFor } from './ask-guest.ts';

export interface GuestHealthDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  agentOf(uid: Uid): GuestAgent | undefined;
  /** With the variables, the user and the directory that the image and the spec say. */
  begin(vm: MicroVm, start: ExecStart): ExecStart;
}

/** The agent ends a program at its time; so much later nobody waits for the agent. */
const GRACE_MS = 10_000;

/** Asks guests that run whether they are well, as their specs say, and stores it as the condition `Healthy`. */
export class GuestHealth {
  readonly #deps: GuestHealthDeps;
  readonly #asking = new Map<Uid, AbortController>();

  constructor(deps: GuestHealthDeps) {
    this.#deps = deps;
  }

  /** @param giveUp - what is done with a guest that is not well, where its restart policy would have it begun again */
  follow(uid: Uid, running: RunningVmm, giveUp: (report: HealthReport) => Promise<void>): void {
    this.leave(uid);
    const vm = this.#deps.store.get(uid);
    const check = vm?.spec.health;
    if (!vm || !check) return;
    const begin = (): void => {
      this.leave(uid);
      const asking = new AbortController();
      this.#asking.set(uid, asking);
      void this.#ask(vm, check, running, giveUp, asking.signal).catch((error: unknown) => {
        if (!asking.signal.aborted)
          this.#deps.log.error('a guest is no longer asked whether it is well', { uid, error });
      });
    };
    begin();
    running.onBoot(begin);
  }

  leave(uid: Uid): void {
    this.#asking.get(uid)?.abort(new Error('the guest is left'));
    this.#asking.delete(uid);
  }

  async #ask(
    vm: MicroVm,
    check: HealthCheck,
    running: RunningVmm,
    giveUp: (report: HealthReport) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock } = this.#deps;
    const { uid } = vm;
    const began = clock.elapsed();
    let failures = 0;
    let wasWell = false;
    let wasMet = false;
    this.#say(uid, healthUnknown());
    for (;;) {
      await clock.sleep(check.intervalMs, signal);
      // One that is paused, or held for want of disk, answers nobody.
      if (running.guest !== 'running') continue;
      // An agent that never came says nothing of the guest: it may have none.
      wasMet ||= this.#deps.agentOf(uid) !== undefined;
      if (!wasMet) continue;
      const agent = this.#deps.agentOf(uid);
      const lack = agent && lackFor(check, agent);
      if (lack !== undefined) {
        this.#say(uid, healthUnknown(lack));
        continue;
      }
      const why = await this.#failure(vm, check, signal);
      signal.throwIfAborted();
      if (why === undefined) {
        failures = 0;
        wasWell = true;
        this.#say(uid, healthy(check));
        continue;
      }
      if (running.guest !== 'running' || (!wasWell && clock.elapsed() - began < check.startMs)) continue;
      failures++;
      if (failures < check.failures) continue;
      const report = unhealthy(failures, why);
      this.#say(uid, report);
      if ((this.#deps.store.get(uid) ?? vm).spec.restartPolicy === 'NEVER') continue;
      this.#deps.log.warn('a guest is not well, and is ended', { uid, message: report.message });
      return await giveUp(report);
    }
  }

  /** @returns why it failed, a clause */
  async #failure(vm: MicroVm, check: HealthCheck, signal: AbortSignal): Promise<string | undefined> {
    const { clock } = this.#deps;
    const agent = this.#deps.agentOf(vm.uid);
    if (!agent) return 'no agent answers in the guest';
    const isProgram = 'exec' in check;
    const late = new AbortController();
    const cancel = clock.after(check.timeoutMs + (isProgram ? GRACE_MS : 0), () =>
      late.abort(
        new Error(isProgram ? 'the agent did not answer' : `no answer came within ${check.timeoutMs / 1_000} s`),
      ),
    );
    try {
      const begin = (start: ExecStart): ExecStart => this.#deps.begin(vm, start);
      return await askGuest(check, agent, begin, AbortSignal.any([signal, late.signal]));
    } catch (error) {
      signal.throwIfAborted();
      return oneLine(errorMessage(error));
    } finally {
      cancel();
    }
  }

  #say(uid: Uid, report: HealthReport): void {
    const { store, clock, log } = this.#deps;
    try {
      store.update(uid, (vm) => reported(vm, 'Healthy', report, clock.now()));
    } catch (error) {
      log.warn('whether a guest is well could not be stored', { uid, error });
    }
  }
}

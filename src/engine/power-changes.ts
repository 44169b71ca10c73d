import { TimeLimit } from '../base/time-limit.ts';
import { type LedgerEntry, vmOwner } from '../domain/ledger.ts';
import type { AskedOfGuest, AskedOfVmm, MicroVm, Uid } from '../domain/microvm.ts';
import { notTurned, rebooted, stopped } from '../domain/power-wishes.ts';
import { providerOf } from '../domain/provider-of.ts';
import type { Clock } from '../ports/clock.ts';
import type { GuestAgent } from '../ports/guest-agent.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';
import type { RunningVmm, Vmm } from '../ports/vmm.ts';
import { AskedToEnd, type Asking } from './ask-to-end.ts';
import { tailOrNothing } from './console-tail.ts';
import type { WatchedGuests } from './guests.ts';

export interface PowerDeps {
  readonly store: Store;
  readonly ledger: Ledger;
  readonly guests: WatchedGuests;
  readonly clock: Clock;
  readonly log: Log;
  /** What the time for a VMM's answer is multiplied by; absent: 1. */
  readonly patience?: number;
  /** Absent: nobody asks for agents. */
  readonly agents?: { of(uid: Uid): Pick<GuestAgent, 'exec'> | undefined } | undefined;
  vmm(provider: string): Pick<Vmm, 'capabilities'>;
  consoleTail(uid: Uid): Promise<string>;
  /** Takes over the VMM that the ledger names. @returns false when it has ended */
  adopt(vm: MicroVm, entry: LedgerEntry<'vmm'>, signal: AbortSignal): Promise<boolean>;
  /** Ends the VMM, if there is one. */
  endRun(vm: MicroVm, signal: AbortSignal): Promise<void>;
}

/** What a user asked for is done, by whichever daemon lives. */
export interface Power {
  /** @returns when to look again */
  stop(vm: MicroVm, asked: AskedOfGuest, signal: AbortSignal): Promise<number | undefined>;
  reboot(vm: MicroVm, asked: AskedOfGuest, signal: AbortSignal): Promise<number | undefined>;
  /** Pauses or resumes. */
  turn(vm: MicroVm, asked: AskedOfVmm, signal: AbortSignal): Promise<number | undefined>;
}

/** A guest that boots does not hear its power button yet: it is pressed again. */
const PRESS_AGAIN_MS = 5_000;
/** A VMM that answers resets a machine at once. */
const RESET_MS = 10_000;
/** A VMM that answers pauses and resumes at once; one that does not is asked again after a while. */
const TURN_MS = 10_000;
const TURN_AGAIN_MS = 1_000;

export function createPower(deps: PowerDeps): Power {
  const { store, ledger, guests, clock, log, patience = 1 } = deps;
  const consoleTail = tailOrNothing(deps.consoleTail, log);
  const begun = clock.now();
  const askedToEnd = new AskedToEnd();
  const askingOf = (vm: MicroVm, running: RunningVmm): Asking => ({
    ...{ uid: vm.uid, running, agent: deps.agents?.of(vm.uid) },
    endsAtReset: !deps.vmm(providerOf(vm)).capabilities.rebootInPlace,
  });

  /** Of a VMM that ends where its guest reboots: its end is told, and it is started again. */
  const rebootByEnd = async (
    vm: MicroVm,
    running: RunningVmm,
    by: number,
    signal: AbortSignal,
  ): Promise<number | undefined> => {
    const { uid } = vm;
    const now = clock.now();
    try {
      using limit = new TimeLimit(signal, Math.min(Math.max(0, by - now), PRESS_AGAIN_MS));
      if (now < by && (await askedToEnd.ask(askingOf(vm, running), limit.signal)))
        return Math.min(by, now + PRESS_AGAIN_MS);
    } catch (error) {
      if (signal.aborted) throw error;
      log.warn('a guest that is to reboot cannot be told', { uid, error });
    }
    askedToEnd.forget(uid);
    await guests.recordEnd(uid, { reason: 'GuestReset', message: 'It was ended for a reboot by a user' });
    return undefined;
  };

  return {
    async stop(vm, { by }, signal) {
      const now = clock.now();
      let how = 'Stopped by a user';
      if (now < by) {
        const entry = ledger.find(vmOwner(vm.uid), 'vmm', '');
        try {
          if (entry?.made && !guests.of(vm.uid) && !(await deps.adopt(vm, entry, signal))) return undefined;
          const running = guests.of(vm.uid);
          using limit = new TimeLimit(signal, Math.min(by - now, PRESS_AGAIN_MS));
          const asking = running && askingOf(vm, running);
          if (asking && askedToEnd.isShutDown(asking)) how += ': its agent shut the guest down, and it was ended';
          else if (asking && (await askedToEnd.ask(asking, limit.signal))) return Math.min(by, now + PRESS_AGAIN_MS);
          else if (asking) how += ': the guest has no power button and was ended';
        } catch (error) {
          // It may answer yet; when its time is up it is ended without.
          if (signal.aborted) throw error;
          log.warn('a guest that is to stop cannot be told', { uid: vm.uid, error });
          return Math.min(by, now + PRESS_AGAIN_MS);
        }
      } else if (ledger.find(vmOwner(vm.uid), 'vmm', ''))
        how += ': the guest did not power itself off in time and was ended';
      askedToEnd.forget(vm.uid);
      await deps.endRun(vm, signal);
      const tail = await consoleTail(vm.uid);
      const after = store.update(vm.uid, (old) => stopped(old, how, tail));
      log.info('a microVM was stopped', { uid: vm.uid, state: after?.state.is, message: how });
      return undefined;
    },

    async reboot(vm, { by }, signal) {
      const running = guests.of(vm.uid);
      if (running && !deps.vmm(providerOf(vm)).capabilities.rebootInPlace) return rebootByEnd(vm, running, by, signal);
      try {
        const untilReset = Math.max(0, by - clock.now());
        using limit = new TimeLimit(signal, untilReset + RESET_MS * patience);
        await guests.of(vm.uid)?.reboot(untilReset, limit.signal);
        store.update(vm.uid, rebooted);
      } catch (error) {
        if (signal.aborted) throw error;
        // What does not answer is ended and started: to its guest that is the same.
        log.warn('a guest cannot be rebooted in place', { uid: vm.uid, error });
        await guests.recordEnd(vm.uid, { reason: 'VmmUnreachable', message: 'Its VMM did not answer to a reboot' });
      }
      return undefined;
    },

    async turn({ uid }, { for: verb, since, by }, signal) {
      // What an earlier daemon was asked for is not given up: whoever waited was told nothing of it.
      const until = since < begun ? Number.POSITIVE_INFINITY : by;
      try {
        using limit = new TimeLimit(signal, Math.min(TURN_MS * patience, Math.max(0, until - clock.now())));
        await guests.of(uid)?.[verb](limit.signal);
      } catch (error) {
        if (signal.aborted) throw error;
        const now = clock.now();
        if (now < until) return Math.min(until, now + TURN_AGAIN_MS); // it may answer yet
        log.warn(`a guest cannot be told to ${verb}, and is not any more`, { uid, error });
        store.update(uid, (old) => notTurned(old, verb));
        return undefined;
      }
      guests.say(uid); // by which it is done
      return undefined;
    },
  };
}

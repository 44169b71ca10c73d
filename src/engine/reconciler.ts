import { backoffMs, longestBackoffMs } from '../base/backoff.ts';
import { TimeLimit } from '../base/time-limit.ts';
import { ATTEMPT_BACKOFF, DELETE_BACKOFF } from '../domain/attempts.ts';
import { Fault } from '../domain/fault.ts';
import { type LedgerEntry, unreadableText, vmOwner } from '../domain/ledger.ts';
import type { MicroVm, StateName, Uid } from '../domain/microvm.ts';
import { hasRun, RESET_SHOWN_MS, STEADY_MS, steadyAt } from '../domain/restart.ts';
import {
  clearedAway,
  failed,
  ledgerRead,
  ledgerUnread,
  preparing,
  steady,
  stillNotAgain,
  willRetry,
} from '../domain/transitions.ts';
import type { Clock } from '../ports/clock.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';
import type { Vmm } from '../ports/vmm.ts';
import { planMake, planUnmake } from '../steps/plan.ts';
import { tailOrNothing } from './console-tail.ts';
import type { GuestAgents } from './guest-agents.ts';
import type { WatchedGuests } from './guests.ts';
import type { MetadataPorts } from './metadata-ports.ts';
import { createPower } from './power-changes.ts';
import type { Look } from './scheduler.ts';
import type { StepRunner } from './step-runner.ts';
import type { TellMetadata } from './tell-metadata.ts';

export interface ReconcilerDeps {
  readonly store: Store;
  readonly ledger: Ledger;
  readonly runner: StepRunner;
  readonly guests: WatchedGuests;
  readonly metadataPorts: MetadataPorts;
  /** Absent: no VMM answers for metadata. */
  readonly tellMetadata?: Pick<TellMetadata, 'mend'>;
  /** Absent: nobody asks for agents. */
  readonly agents?: Pick<GuestAgents, 'of'>;
  readonly clock: Clock;
  readonly log: Log;
  /** Of the host's boot. */
  readonly bootId: string;
  vmm(provider: string): Vmm;
  consoleTail(uid: Uid): Promise<string>;
  /** What the time for taking over a VMM is multiplied by; absent: 1. */
  readonly patience?: number;
  /** Attempts to create before FAILED. */
  readonly maximumRetry: number;
}

const ADOPT_MS = 20_000;
/** After a fault for which the record plans no attempt: a VMM that could not be taken over, a run that could not be cleared away. */
const LOOK_AGAIN_MS = 10_000;
/** Somebody may have mended the database. */
const UNREAD_AGAIN_MS = 60_000;

/** Makes what is there into what should be there, for one microVM. */
export function createReconciler(deps: ReconcilerDeps): Look {
  const { store, ledger, runner, guests, metadataPorts, clock, log, patience = 1 } = deps;
  const consoleTail = tailOrNothing(deps.consoleTail, log);

  const unmakeAll = async (vm: MicroVm, signal: AbortSignal): Promise<void> => {
    const tail = await consoleTail(vm.uid); // before its file goes
    await runner.unmake(planUnmake(ledger.of(vmOwner(vm.uid))), vm, signal, () => store.gone(vm.uid, tail));
    log.info('a microVM is gone', { uid: vm.uid, namespace: vm.spec.namespace, id: vm.spec.id });
  };

  /** Takes over a VMM that another daemon started, or learns that it has ended. */
  const adopt = async (vm: MicroVm, entry: LedgerEntry<'vmm'>, signal: AbortSignal): Promise<boolean> => {
    const { provider, config } = entry.intent;
    const { process } = entry.result ?? {};
    if (!process) throw new Error(`the VMM of ${vm.uid} was not marked as made`);
    if (process.bootId !== deps.bootId) {
      await guests.recordEnd(vm.uid, {
        reason: 'VmmVanished',
        message: 'The host was booted anew, and the VMM ended with it',
      });
      return false;
    }
    const found = await withinTime(signal, ADOPT_MS * patience, (limited) =>
      deps.vmm(provider).adopt(config, process, limited),
    );
    if ('reason' in found) {
      await guests.recordEnd(vm.uid, found);
      return false;
    }
    guests.attach(vm.uid, found, 'earlier');
    guests.say(vm.uid);
    log.info('a running microVM was taken over', { uid: vm.uid, pid: process.pid });
    return true;
  };

  const makeAll = async (vm: MicroVm, signal: AbortSignal): Promise<void> => {
    const vmmEntry = ledger.find(vmOwner(vm.uid), 'vmm', '');
    if (vmmEntry?.made && !guests.of(vm.uid) && !(await adopt(vm, vmmEntry, signal))) return;
    await metadataPorts.leave(vm, signal);
    const isPending = (now: MicroVm | undefined): now is MicroVm =>
      now?.state.is === 'PENDING' || now?.state.reason === 'GuestReset';
    const hooks = {
      mayEnd: (): boolean =>
        isPending(store.update(vm.uid, (old) => preparing(old, 'Starting', 'The VMM is being started'))),
      onEnd: (): void => guests.say(vm.uid),
    };
    for (;;) {
      signal.throwIfAborted();
      const now = store.get(vm.uid);
      if (!isPending(now) || planMake(now, ledger.of(vmOwner(vm.uid))).length === 0) break;
      await metadataPorts.make(now, signal, hooks);
    }
    guests.say(vm.uid);
  };

  /** What the last run held as a process is let go; the rest stays for the delete. */
  const endRun = async (vm: MicroVm, signal: AbortSignal): Promise<void> => {
    const entry = ledger.find(vmOwner(vm.uid), 'vmm', '');
    if (entry) await runner.unmake([entry], vm, signal);
  };

  const power = createPower({ ...deps, adopt, endRun });

  /** @returns when to look again */
  const work = async (vm: MicroVm, signal: AbortSignal): Promise<number | undefined> => {
    const { asked } = vm;
    switch (vm.state.is) {
      case 'DELETING':
        await unmakeAll(vm, signal);
        return undefined;
      case 'PENDING': {
        if (vm.state.ended) {
          await endRun(vm, signal);
          const now = store.update(vm.uid, clearedAway) ?? vm;
          return now.asked?.for === 'stop' ? power.stop(now, now.asked, signal) : makeWhenDue(now, signal);
        }
        if (asked?.for === 'stop') return power.stop(vm, asked, signal);
        return makeWhenDue(vm, signal);
      }
      case 'CREATED':
      case 'PAUSED': {
        if (vm.state.reason === 'GuestReset') return startAgain(vm, vm.state.until, signal);
        const entry = ledger.find(vmOwner(vm.uid), 'vmm', '');
        if (guests.of(vm.uid)) guests.say(vm.uid);
        else if (!entry?.made)
          await guests.recordEnd(vm.uid, { reason: 'VmmVanished', message: 'The ledger names no VMM of it' });
        else if (!(await adopt(vm, entry, signal))) return undefined;
        await metadataPorts.mend(vm, signal);
        if (asked?.for === 'stop') return power.stop(vm, asked, signal);
        const untold = await deps.tellMetadata?.mend(vm, signal);
        const next = await goOn(vm, signal);
        return untold === undefined || next === undefined ? (untold ?? next) : Math.min(untold, next);
      }
      case 'FAILED':
      case 'STOPPED':
        await endRun(vm, signal);
        return undefined;
      default:
        return vm.state satisfies never;
    }
  };

  /** Its guest reset its machine, with which its VMM ended. */
  const startAgain = async (vm: MicroVm, until: number, signal: AbortSignal): Promise<number | undefined> => {
    const left = until - clock.now();
    const isSoon = left > 0 && left <= RESET_SHOWN_MS; // else the daemon was away, or the clock was set
    if (!isSoon || vm.asked?.for === 'stop') {
      const now = store.update(vm.uid, stillNotAgain);
      return now && work(now, signal);
    }
    const cancel = clock.after(left, () => {
      try {
        store.update(vm.uid, stillNotAgain);
      } catch (error) {
        log.error('the state of a microVM could not be stored', { uid: vm.uid, error });
      }
    });
    try {
      await endRun(vm, signal);
      const now = store.update(vm.uid, clearedAway) ?? vm;
      await makeAll(now, signal);
      return await goOn(now, signal);
    } finally {
      cancel();
    }
  };

  /** Attempts that were told of are not made before their time, whatever woke us. */
  const makeWhenDue = async (vm: MicroVm, signal: AbortSignal): Promise<number | undefined> => {
    const wait = nextRetryAt(vm);
    if (wait !== undefined && isAhead(vm, wait, clock.now())) return wait;
    await makeAll(vm, signal);
    return goOn(vm, signal);
  };

  /** With what was asked of one that should run, also where a daemon before us did not get to it, or it does not answer now. */
  const goOn = async (vm: MicroVm, signal: AbortSignal): Promise<number | undefined> => {
    const asked = guests.of(vm.uid) && store.get(vm.uid)?.asked;
    const again =
      asked?.for === 'reboot'
        ? await power.reboot(vm, asked, signal)
        : asked?.for === 'pause' || asked?.for === 'resume'
          ? await power.turn(vm, asked, signal)
          : undefined;
    return again ?? untilSteady(vm.uid);
  };

  /** Counts no deaths any more of a guest that has run for a while. @returns when that will be */
  const untilSteady = (uid: Uid): number | undefined => {
    const now = clock.now();
    const vm = store.update(uid, (old) => (old.state.is === 'CREATED' ? steady(old, now) : undefined));
    const at = vm?.state.is === 'CREATED' ? steadyAt(vm) : undefined;
    return at === undefined ? undefined : Math.min(at, now + STEADY_MS);
  };

  /** Whose rows this daemon told of. */
  const told = new Set<string>();

  /** Of what cannot be read nothing can be said or done: the microVM is left alone. @returns when to look again */
  const leaveUnread = (vm: MicroVm): number | undefined => {
    const [row] = ledger.unreadable(vmOwner(vm.uid));
    if (!row) {
      if (ledgerRead(vm)) store.update(vm.uid, ledgerRead);
      return undefined;
    }
    guests.detach(vm.uid);
    const message = `${unreadableText(row)}. Nothing of this microVM is touched until it can be`;
    store.update(vm.uid, (old) => ledgerUnread(old, message, clock.now()));
    if (!told.has(message)) log.error('a microVM is left alone', { uid: vm.uid, why: message });
    told.add(message);
    return clock.now() + UNREAD_AGAIN_MS;
  };

  /** Writes down what failed, and when it is tried again. */
  const afterFault = async (uid: Uid, was: StateName, fault: Fault): Promise<number | undefined> => {
    const now = clock.now();
    const tail = await consoleTail(uid);
    const after = store.update(uid, (vm) => {
      const attempt = vm.retry + 1;
      // A delete that was accepted meanwhile is not to blame, and does not wait.
      if (vm.state.is === 'DELETING' && was !== 'DELETING') return undefined;
      if (vm.state.is === 'DELETING')
        return willRetry(vm, fault, now + backoffMs(attempt, clock.random(), DELETE_BACKOFF));
      // What has run once may run again, however bad it looks now: it is tried for ever.
      if (fault.terminal && !hasRun(vm)) return failed(vm, fault, tail);
      if (attempt >= deps.maximumRetry && !hasRun(vm)) return failed(vm, gaveUp(fault, attempt), tail);
      return willRetry(vm, fault, now + backoffMs(attempt, clock.random(), ATTEMPT_BACKOFF));
    });
    const again = after && nextRetryAt(after);
    log.warn('a step failed', { uid, state: after?.state.is, reason: fault.reason, message: fault.message, again });
    return again ?? now + LOOK_AGAIN_MS;
  };

  return async (uid, signal) => {
    const vm = store.get(uid);
    if (!vm || vm.goneAt !== undefined) return undefined;
    const wait = nextRetryAt(vm);
    // A PENDING one has other things to do while it waits.
    if (vm.state.is === 'DELETING' && wait !== undefined && isAhead(vm, wait, clock.now())) return wait;
    const unread = leaveUnread(vm);
    if (unread !== undefined) return unread;
    try {
      return await work(vm, signal);
    } catch (error) {
      if (signal.aborted) return undefined;
      if (!(error instanceof Fault)) log.error('a step failed unforeseen', { uid, error });
      const fault = error instanceof Fault ? error : new Fault('tool', `Internal error: ${String(error)}`);
      return afterFault(uid, vm.state.is, fault);
    }
  };
}

/** @throws Fault `timeout` when taking over took too long */
async function withinTime<T>(signal: AbortSignal, ms: number, act: (signal: AbortSignal) => Promise<T>): Promise<T> {
  using limit = new TimeLimit(signal, ms);
  try {
    return await act(limit.signal);
  } catch (cause) {
    if (cause instanceof Fault || signal.aborted || !limit.isLate) throw cause;
    throw new Fault(
      'timeout',
      `The VMM could not be taken over in ${ms / 1000} s; if this host is slow, give the daemon a larger --patience`,
      {
        cause,
        reason: 'VmmUnreachable',
      },
    );
  }
}

const nextRetryAt = ({ state }: MicroVm): number | undefined =>
  state.is === 'PENDING' || state.is === 'DELETING' ? state.nextRetryAt : undefined;

/** What is further off than its attempt's back-off can be is due: the host's clock was set back since. */
const isAhead = ({ retry, state }: MicroVm, at: number, now: number): boolean =>
  at > now && at <= now + longestBackoffMs(retry, state.is === 'DELETING' ? DELETE_BACKOFF : ATTEMPT_BACKOFF);

const gaveUp = (fault: Fault, attempts: number): Fault =>
  new Fault(fault.kind, `${fault.message} (given up after ${attempts} attempts)`, {
    cause: fault,
    ...(fault.reason && { reason: fault.reason }),
  });

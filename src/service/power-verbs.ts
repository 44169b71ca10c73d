import { TimeLimit } from '../base/time-limit.ts';
import { admission, type Limits, limitsOf, promisedTo, withDisksAsMemory } from '../domain/admission.ts';
import { Fault } from '../domain/fault.ts';
import { vmOwner } from '../domain/ledger.ts';
import type { MicroVm, MicroVmView } from '../domain/microvm.ts';
import { type PowerVerb, rebooting, refuse, starting, stopping, turning } from '../domain/power-wishes.ts';
import { Changes } from './changes.ts';
import { byUid } from './find.ts';
import type { Needs, NeedsOf } from './needs.ts';
import { view } from './view.ts';
import { vmmOf } from './vmm-of.ts';
import { type WaitNeeds, wait } from './wait.ts';

type PowerNeeds = WaitNeeds & NeedsOf<'store', 'update'> & Needs<'wake'>;
type StartNeeds = PowerNeeds & NeedsOf<'store', 'promised'> & NeedsOf<'ledger', 'find'> & Needs<'limits' | 'capacity'>;
type TurnNeeds = PowerNeeds & Needs<'vmms'>;

export interface PowerRequest {
  readonly uid: string;
  /** Start: how long is waited for; 0: not at all. Stop and reboot: how long the guest may take; 0: it is not asked. */
  readonly timeoutMs: number;
}

/** Beyond the guest's own time: to end what did not obey, and to reset. */
const GRACE_MS = 30_000;

/**
 * A power verb: what the user wants is stored, so that it happens whatever
 * befalls the daemon or the caller, and then waited for.
 *
 * @throws Fault `refused` in a state that forbids it, or once it cannot come true; `conflict` beside another verb;
 * `full` Admission when there is no room to start it; `timeout`; `not_found`
 */
export async function power(
  needs: StartNeeds & TurnNeeds,
  verb: PowerVerb,
  request: PowerRequest,
  signal: AbortSignal,
): Promise<MicroVmView> {
  switch (verb) {
    case 'start':
      return start(needs, request, signal);
    case 'stop':
      return stop(needs, request, signal);
    case 'reboot':
      return reboot(needs, request, signal);
    case 'pause':
    case 'resume':
      return turn(needs, verb, request, signal);
    default:
      return verb satisfies never;
  }
}

async function start(needs: StartNeeds, { uid, timeoutMs }: PowerRequest, signal: AbortSignal) {
  const { capacity, diskIsMemory } = await needs.capacity();
  const limits = limitsOf(needs.limits, capacity);
  const vm = change(needs, uid, (old) => {
    const next = starting(old);
    if (next) requireRoom(needs, old, limits, diskIsMemory);
    return next;
  });
  if (timeoutMs === 0) return view(vm, needs);
  return wait(needs, { uid, until: 'CREATED', timeoutMs }, signal);
}

/** In the transaction that starts it: what it gave up when it ended may be promised to others by now. Its disks are its own. */
function requireRoom({ store, ledger }: StartNeeds, vm: MicroVm, limits: Limits, diskIsMemory: boolean): void {
  const holds = vm.state.is === 'PENDING' || ledger.find(vmOwner(vm.uid), 'vmm', '') !== undefined;
  if (holds) return;
  const asked = { ...promisedTo(vm.spec), microvms: 0, diskInMb: 0 };
  const others = withDisksAsMemory(store.promised(), diskIsMemory);
  const refused = admission(`microVM ${vm.spec.namespace}/${vm.spec.id}`, asked, others, limits);
  if (refused) throw refused;
}

async function stop(needs: PowerNeeds, { uid, timeoutMs }: PowerRequest, signal: AbortSignal) {
  const by = needs.clock.now() + timeoutMs;
  change(needs, uid, (vm) => stopping(vm, by));
  return wait(needs, { uid, until: 'STOPPED', timeoutMs: timeoutMs + GRACE_MS }, signal);
}

async function reboot(needs: PowerNeeds, { uid, timeoutMs }: PowerRequest, signal: AbortSignal) {
  using changes = new Changes(needs.onChange, uid);
  const by = needs.clock.now() + timeoutMs;
  change(needs, uid, (vm) => rebooting(vm, by));
  using limit = new TimeLimit(signal, timeoutMs + GRACE_MS);
  for (;;) {
    const vm = byUid(needs.store, uid, true);
    if (vm.asked?.for === 'stop') throw new Fault('conflict', `microVM ${uid} is being stopped: it was not rebooted`);
    // One that had to be ended is being started.
    if (!vm.asked) return wait(needs, { uid, until: 'CREATED', timeoutMs: timeoutMs + GRACE_MS }, signal);
    try {
      await changes.next(limit.signal);
    } catch (cause) {
      if (signal.aborted || !limit.isLate) throw cause;
      throw new Fault('timeout', `microVM ${uid} has not rebooted yet; it goes on`, { cause });
    }
  }
}

async function turn(
  needs: TurnNeeds,
  verb: 'pause' | 'resume',
  { uid, timeoutMs }: PowerRequest,
  signal: AbortSignal,
): Promise<MicroVmView> {
  const { capabilities } = vmmOf(needs, byUid(needs.store, uid, false)) ?? {};
  if (capabilities?.pause === false)
    throw new Fault('refused', `Cannot ${verb} microVM ${uid}: ${capabilities.machine} cannot be paused`);
  using changes = new Changes(needs.onChange, uid);
  const now = needs.clock.now();
  change(needs, uid, (vm) => turning(vm, verb, now, now + timeoutMs));
  using limit = new TimeLimit(signal, timeoutMs);
  const late = (cause?: unknown): Fault =>
    new Fault('timeout', `Cannot ${verb} microVM ${uid}: its VMM did not answer in ${timeoutMs / 1000} s`, { cause });
  for (;;) {
    const vm = byUid(needs.store, uid, true);
    const { asked, state } = vm;
    if (asked && asked.for !== verb)
      throw new Fault('conflict', `Cannot ${verb} microVM ${uid}: another call has begun to ${asked.for} it meanwhile`);
    if (!asked) {
      if (state.is === 'DELETING' || state.is === 'STOPPED' || state.is === 'FAILED') refuse(vm, verb);
      if (state.is === 'PENDING' && state.ended) refuse(vm, verb);
      if (state.is === (verb === 'pause' ? 'CREATED' : 'PAUSED')) throw late(); // it was given up
      return view(vm, needs);
    }
    try {
      await changes.next(limit.signal);
    } catch (cause) {
      throw signal.aborted || !limit.isLate ? cause : late(cause);
    }
  }
}

/** Stores what is wanted, and has it looked at: what is being made for it gives way. */
function change({ store, wake }: PowerNeeds, uid: string, transition: (vm: MicroVm) => MicroVm | undefined): MicroVm {
  const vm = byUid(store, uid, false);
  let isNews = false;
  const after = store.update(vm.uid, (old) => {
    const next = transition(old);
    isNews = next !== undefined;
    return next;
  });
  if (isNews) wake.interrupt(vm.uid);
  return after ?? vm;
}

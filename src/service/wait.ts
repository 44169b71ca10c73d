import { TimeLimit } from '../base/time-limit.ts';
import { agentCondition, wantsAgent } from '../domain/agent-report.ts';
import { Fault } from '../domain/fault.ts';
import type { Condition, ConditionType, MicroVm, MicroVmView } from '../domain/microvm.ts';
import { Changes } from './changes.ts';
import { byUid } from './find.ts';
import type { Needs, NeedsOf } from './needs.ts';
import type { Until } from './services.ts';
import { recordNow, type ViewNeeds, view } from './view.ts';
import { vmmOf } from './vmm-of.ts';

export type WaitNeeds = ViewNeeds & NeedsOf<'store', 'get'> & Needs<'onChange' | 'vmms'>;

/** @throws Fault `timeout`; `refused` once it cannot come true any more; `not_found` */
export async function wait(
  needs: WaitNeeds,
  { uid, until, timeoutMs }: { readonly uid: string; readonly until: Until; readonly timeoutMs: number },
  signal: AbortSignal,
): Promise<MicroVmView> {
  using changes = new Changes(needs.onChange, uid);
  using limit = new TimeLimit(signal, timeoutMs);
  for (;;) {
    const stored = byUid(needs.store, uid, true);
    const vm = recordNow(stored, needs);
    const noAgent = until === 'AGENT' ? noAgentEver(needs, vm) : undefined;
    if (noAgent !== undefined)
      throw new Fault('refused', `microVM ${uid} will have no AGENT that answers (NoAgentChannel): ${noAgent}`, {
        reason: 'NoAgentChannel',
      });
    const answer = judge(vm, until);
    if (answer === 'yes') return view(stored, needs);
    if (answer !== 'not yet') throw new Fault('refused', `microVM ${uid} ${answer}`, { reason: vm.state.reason });
    try {
      await changes.next(limit.signal);
    } catch (cause) {
      if (signal.aborted || !limit.isLate) throw cause;
      throw new Fault(
        'timeout',
        `microVM ${uid} is not ${until} after ${timeoutMs / 1000} s: ${vm.state.is} (${vm.state.reason}): ${vm.state.message}`,
        { cause },
      );
    }
  }
}

/** Why no agent can ever answer in this guest, whatever is waited for; undefined: one may. */
function noAgentEver(needs: WaitNeeds, vm: MicroVm): string | undefined {
  if (vm.goneAt !== undefined || vm.state.is === 'DELETING' || vm.state.is === 'FAILED') return undefined;
  if (!wantsAgent(vm.spec.providerOptions)) return 'its provider_options say agent off';
  const capabilities = vmmOf(needs, vm)?.capabilities;
  if (capabilities && !capabilities.channels.includes('agent')) return `${capabilities.machine} has no way to one`;
  const { reason, message } = agentCondition(vm) ?? {};
  return reason === 'NoAgentChannel' ? message : undefined;
}

/** Whether it is so, may still become so, or why it cannot. */
function judge(vm: MicroVm, until: Until): 'yes' | 'not yet' | (string & {}) {
  const { state } = vm;
  if (until === 'GONE') return vm.goneAt !== undefined ? 'yes' : 'not yet';
  if (state.is === 'DELETING') return `will not be ${until}: it is being deleted`;
  if (state.is === 'FAILED') return `will not be ${until}: FAILED (${state.reason}): ${state.message}`;
  switch (until) {
    case 'CREATED':
      return state.is === 'CREATED'
        ? 'yes'
        : state.is === 'STOPPED'
          ? `will not be CREATED: ${state.message}`
          : 'not yet';
    case 'STOPPED':
      return state.is === 'STOPPED' ? 'yes' : 'not yet';
    case 'ADDRESS':
      if (vm.spec.interfaces.length === 0) return 'will not have an ADDRESS: its spec has no interfaces';
      if (state.is === 'STOPPED') return `will not have an ADDRESS: ${state.message}`;
      return Object.values(vm.addresses).some((a) => a.length > 0) ? 'yes' : 'not yet';
    case 'CONFIGURED': {
      const { status, message } = conditionOf(vm, 'GuestConfigured') ?? {};
      if (state.is === 'STOPPED') return `will not be CONFIGURED: ${state.message}`;
      if (status === 'False') return `will not be CONFIGURED: ${message}`;
      return status === 'True' && state.is !== 'PENDING' ? 'yes' : 'not yet';
    }
    case 'ALIVE':
      if (state.is === 'STOPPED') return `will not be ALIVE: ${state.message}`;
      return state.is !== 'PENDING' && conditionOf(vm, 'GuestAlive')?.status === 'True' ? 'yes' : 'not yet';
    case 'AGENT': {
      if (state.is === 'STOPPED') return `will have no AGENT that answers: ${state.message}`;
      return agentCondition(vm)?.status === 'True' && state.is === 'CREATED' ? 'yes' : 'not yet';
    }
    default:
      return until satisfies never;
  }
}

const conditionOf = ({ conditions }: MicroVm, type: ConditionType): Condition | undefined =>
  conditions.find((one) => one.type === type);

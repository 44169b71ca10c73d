import { agentCondition, wantsAgent } from '../domain/agent-report.ts';
import { asImageSays } from '../domain/as-image-says.ts';
import { Fault } from '../domain/fault.ts';
import type { MicroVm } from '../domain/microvm.ts';
import type { AgentInfo, ExecInput, ExecOutput, ExecStart, GuestAgent } from '../ports/guest-agent.ts';
import { byUid } from './find.ts';
import type { Needs, NeedsOf } from './needs.ts';
import { type ViewNeeds, view } from './view.ts';
import { vmmOf } from './vmm-of.ts';

export type ExecNeeds = Needs<'store' | 'agentOf' | 'agentSoon' | 'vmms'> & ViewNeeds;

export interface ExecWanted {
  readonly uid: string;
  readonly start: ExecStart;
  /** What it leaves out is as the root volume's image and the spec's process say; else as the agent has it. */
  readonly asImage?: true;
}

/**
 * Runs a program in a guest, by its agent. What the caller types is read on only as fast as the guest takes it, and what
 * the program writes only as fast as the caller takes that.
 *
 * @throws Fault `refused` where there is no agent to do it; `tool` when it, or the guest, goes away meanwhile
 */
export async function* exec(
  needs: ExecNeeds & NeedsOf<'images', 'says'>,
  { uid, start, asImage }: ExecWanted,
  input: AsyncIterable<ExecInput>,
  signal: AbortSignal,
): AsyncIterable<ExecOutput> {
  const { vm, agent } = await agentFor(needs, uid, signal);
  try {
    yield* agent.exec(asImage ? asImageSays((digest) => needs.images.says(digest), vm, start) : start, input, signal);
  } catch (error) {
    throw cutOff(needs, vm, `The command in microVM ${uid} was cut off`, error);
  }
}

/** Bytes to and from the SSH server of a guest, by its agent. @throws as `exec` */
export async function* sshProxy(
  needs: ExecNeeds,
  uid: string,
  input: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  const { vm, agent } = await agentFor(needs, uid, signal);
  try {
    yield* agent.ssh(input, signal);
  } catch (error) {
    throw cutOff(
      needs,
      vm,
      `The way to port 22 of 127.0.0.1 in microVM ${uid} broke off; a server must listen there`,
      error,
    );
  }
}

/** What became of the guest belongs to it. */
export function cutOff(needs: ExecNeeds, vm: MicroVm, what: string, error: unknown): unknown {
  if (!(error instanceof Fault && error.kind === 'tool')) return error;
  const { is, reason, message } = needs.store.get(vm.uid)?.state ?? vm.state;
  const why = is === 'CREATED' ? '' : `; the microVM is ${is} (${reason}): ${message}`;
  return new Fault('tool', `${what}: ${error.message}${why}`, { cause: error });
}

/** @throws as `exec` */
export async function agentInfo(needs: ExecNeeds, uid: string, signal: AbortSignal): Promise<AgentInfo> {
  const { agent } = await agentFor(needs, uid, signal);
  return agent.info;
}

/**
 * The agent of a guest that runs; in a daemon that has just taken it over, once it is met.
 * @throws Fault `refused` where there is none to do it; `tool` where it is not met in time; the signal's reason
 */
export async function agentFor(
  needs: ExecNeeds,
  uid: string,
  signal: AbortSignal,
): Promise<{ readonly vm: MicroVm; readonly agent: GuestAgent }> {
  const vm = byUid(needs.store, uid, false);
  if (!wantsAgent(vm.spec.providerOptions))
    throw new Fault(
      'refused',
      `microvm was not created with guest agent access enabled: ${uid} has the option agent off`,
    );
  const { is, reason, message } = view(vm, needs).state;
  if (is !== 'CREATED')
    throw new Fault('refused', `microvm is not ready (state: ${is}): ${uid} is ${is} (${reason}): ${message}`);
  const machine = vmmOf(needs, vm)?.capabilities;
  if (machine && !machine.channels.includes('agent'))
    throw new Fault('refused', `microVM ${uid} has no guest agent to do it: ${machine.machine} has no way to one yet`);
  const told = agentCondition(vm);
  const wasMet = told?.status === 'True';
  const agent = needs.agentOf(vm.uid) ?? (wasMet ? await needs.agentSoon(vm.uid, signal) : undefined);
  if (agent) return { vm, agent };
  if (wasMet)
    throw new Fault(
      'tool',
      `The guest agent of microVM ${uid} answered the daemon before this one, which has not met it yet: try again`,
    );
  const why = told?.message ?? 'no agent has answered in this guest yet; try again in a moment';
  throw new Fault('refused', `microVM ${uid} has no guest agent to do it: ${why}`);
}

import { Fault } from '../domain/fault.ts';
import type { Uid } from '../domain/microvm.ts';
import type { ExecStart, GuestAgent } from '../ports/guest-agent.ts';
import type { RunningVmm } from '../ports/vmm.ts';

/** How a guest can be asked to end in order. */
export interface Asking {
  readonly uid: Uid;
  readonly running: RunningVmm;
  /** Absent: none answers. */
  readonly agent: Pick<GuestAgent, 'exec'> | undefined;
  /** Its VMM does not see a power-off, and ends where its guest resets the machine. */
  readonly endsAtReset: boolean;
}

/** The guests that were asked already, by this daemon. */
export class AskedToEnd {
  readonly #asked = new Map<Uid, 'by its button' | 'by its agent'>();

  /**
   * Asks once more. The button comes first where it is one: an init knows it. A VMM that ends at a reset has only keys in
   * its place, which a kernel may not hear and is not told of, so there the agent comes first; and where one way was in vain
   * both are tried.
   *
   * @param signal - the time for both
   * @returns whether anybody was told
   * @throws Fault `tool` when the VMM does not answer; the signal's reason
   */
  async ask({ uid, running, agent, endsAtReset }: Asking, signal: AbortSignal): Promise<boolean> {
    const isAgain = this.#asked.has(uid);
    const byAgent = async (): Promise<boolean> => {
      if (!agent) return false;
      if (running.guest === 'paused') await running.resume(signal);
      return runs(agent, endsAtReset ? 'reboot' : 'poweroff', signal);
    };
    const first = endsAtReset || isAgain ? await byAgent() : false;
    const button = first && !isAgain ? false : await running.pressPower(signal);
    const told = first || button || (!isAgain && !endsAtReset && (await byAgent()));
    if (told) this.#asked.set(uid, button ? 'by its button' : 'by its agent');
    return told;
  }

  /** Its agent was told to power it off, and is gone: without a button the machine cannot be switched off from within. */
  isShutDown({ uid, agent, endsAtReset }: Asking): boolean {
    return this.#asked.get(uid) === 'by its agent' && !agent && !endsAtReset;
  }

  forget(uid: Uid): void {
    this.#asked.delete(uid);
  }
}

const START: Omit<ExecStart, 'command'> = {
  ...{ args: [], directory: '/', environment: {}, shell: false, user: '' },
  ...{ timeoutSeconds: 10, hasStdin: false },
};

async function* nothing(): AsyncGenerator<never> {}

/** @returns whether it does what it was told; one that goes away meanwhile most likely does */
async function runs(agent: Pick<GuestAgent, 'exec'>, command: string, signal: AbortSignal): Promise<boolean> {
  try {
    for await (const one of agent.exec({ ...START, command }, nothing(), signal))
      if (one.is === 'exit') return one.code === 0;
    return false;
  } catch (error) {
    if (signal.aborted) throw error;
    if (error instanceof Fault) return error.kind === 'tool';
    throw error;
  }
}

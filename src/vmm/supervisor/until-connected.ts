import { dirname } from 'node:path';
import { Fault } from '../../domain/fault.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import type { SupervisedDeps, SupervisedVmm } from './supervised-vmm.ts';
import type { VmmProgram } from './vmm-program.ts';

/** The first wait for the VMM's socket; QEMU greets after 20 to 120 ms. Each next one is longer by half. */
const FIRST_RETRY_MS = 4;
const MAX_RETRY_MS = 50;
/** From spawn to a running guest; 0.1 s on an idle host. The caller's signal may be shorter. */
const START_MS = 150_000;

/** It answers, and will not have this machine: to ask again is no use. */
const isRefusal = (error: unknown): boolean => error instanceof Fault && error.reason === 'ProviderRefused';

/** Tries to connect whenever there is a socket, and in short steps; rejects when the signal aborts or it takes too long. */
export async function untilConnected(
  running: SupervisedVmm,
  program: VmmProgram,
  config: VmmConfig,
  { clock, files, patience = 1 }: Pick<SupervisedDeps, 'clock' | 'files' | 'patience'>,
  signal: AbortSignal,
): Promise<void> {
  const late = new AbortController();
  const tooLate = (cause?: unknown): Fault =>
    new Fault('timeout', `${program.name} did not answer on ${program.controlSocket(config)} in time; it was ended`, {
      reason: 'Timeout',
      cause,
    });
  const stop = clock.after(START_MS * patience, () => late.abort(tooLate()));
  const either = AbortSignal.any([signal, late.signal]);
  // As soon as there is a socket it is tried: the next look may be as far off as the socket took to come.
  let news = new AbortController();
  const stopWatching = files.watch(dirname(program.controlSocket(config)), () => news.abort());
  try {
    for (
      let step = FIRST_RETRY_MS;
      ;
      step = news.signal.aborted ? FIRST_RETRY_MS : Math.min(step * 1.5, MAX_RETRY_MS)
    ) {
      news = new AbortController();
      try {
        return await running.connect(either);
      } catch (error) {
        either.throwIfAborted();
        if (isRefusal(error)) throw error;
        // Else it is not there yet.
      }
      await clock.sleep(step, AbortSignal.any([either, news.signal])).catch(() => either.throwIfAborted());
    }
  } catch (error) {
    if (error instanceof DOMException && error.name === 'TimeoutError') throw tooLate(error);
    throw error;
  } finally {
    stop();
    stopWatching();
  }
}

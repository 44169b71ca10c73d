import { Fault } from '../../domain/fault.ts';
import type { ProcessIdentity } from '../../ports/host.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import type { SupervisedDeps } from './supervised-vmm.ts';
import { textOf } from './tail.ts';
import type { VmmProgram } from './vmm-program.ts';

/** SIGKILL works at once, except on a process in a system call that does not end. */
const KILL_MS = 10_000;

/** Ends a process proved to be this microVM's, and waits until it is gone. */
export async function endProcess(
  program: VmmProgram,
  config: VmmConfig,
  identity: ProcessIdentity,
  { processes, clock }: Pick<SupervisedDeps, 'processes' | 'clock'>,
  signal: AbortSignal = new AbortController().signal,
): Promise<void> {
  await processes.signal(identity, program.isOf(config), 'SIGKILL');
  const late = new AbortController();
  const stop = clock.after(KILL_MS, () =>
    late.abort(
      new Fault(
        'timeout',
        `${program.name}, process ${identity.pid}, is still there ${KILL_MS / 1000} s after SIGKILL`,
        {
          reason: 'Timeout',
        },
      ),
    ),
  );
  try {
    await processes.ended(identity, AbortSignal.any([signal, late.signal]));
  } finally {
    stop();
  }
}

/** After a failure, which is what the caller must hear of; what cannot be cleared away is left to `stop`. */
export async function clearAway(
  program: VmmProgram,
  config: VmmConfig,
  identity: ProcessIdentity,
  deps: SupervisedDeps,
): Promise<void> {
  try {
    await endProcess(program, config, identity, deps);
    await removeSockets(program, config, deps);
  } catch (error) {
    deps.log.warn(`Cannot clear away a ${program.name} that did not start`, {
      uid: config.uid,
      pid: identity.pid,
      error: textOf(error),
    });
  }
}

/** What it listened on. */
export async function removeSockets(
  program: VmmProgram,
  config: VmmConfig,
  { files }: Pick<SupervisedDeps, 'files'>,
): Promise<void> {
  await Promise.all(program.sockets(config).map((path) => files.remove(path)));
}

import { Fault } from '../domain/fault.ts';
import { byUid } from './find.ts';
import type { Needs } from './needs.ts';
import { type ConsoleNeeds, readConsole } from './read-console.ts';
import { type ViewNeeds, view } from './view.ts';
import { vmmOf } from './vmm-of.ts';

type AttachNeeds = ConsoleNeeds & Needs<'joinConsole' | 'vmms'> & ViewNeeds;

/** A line that is pasted, or a block of a file; a caller that has more sends more messages. */
export const MAX_TYPED_BYTES = 64 << 10;

/**
 * Types what comes from `typed` on a guest's console, one piece after the
 * other: no faster than the guest reads, so that a caller cannot fill our
 * memory. What the guest writes is read from the file, as by everybody else.
 * Ends with the run.
 *
 * @throws Fault `refused` when the guest does not run
 */
export async function* attachConsole(
  needs: AttachNeeds,
  { uid, tailBytes }: { readonly uid: string; readonly tailBytes: number },
  typed: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  const vm = view(byUid(needs.store, uid, false), needs);
  const { is, reason, message } = vm.state;
  if (is !== 'CREATED' && is !== 'PAUSED')
    throw new Fault('refused', `Cannot attach to the console of microVM ${uid}: it is ${is} (${reason}): ${message}`);
  const vmm = vmmOf(needs, vm);
  if (vmm?.capabilities.consoleInput === false)
    throw new Fault(
      'refused',
      `Cannot attach to the console of microVM ${uid}: that of ${vmm.capabilities.machine} cannot be typed on`,
    );
  const failed = new AbortController();
  const input = await needs.joinConsole(vm.uid);
  const type = async (): Promise<void> => {
    for await (const bytes of typed) {
      if (bytes.length > MAX_TYPED_BYTES)
        throw Fault.invalid([
          { field: 'data', description: `has ${bytes.length} bytes: at most ${MAX_TYPED_BYTES} a message` },
        ]);
      if (bytes.length > 0) await input.write(bytes);
    }
  };
  try {
    signal.throwIfAborted();
    type().catch((error: unknown) => {
      // Of a guest that is ending the reader below tells.
      if (!(error instanceof Fault && error.kind === 'refused')) failed.abort(error);
    });
    yield* readConsole(needs, { uid, follow: true, tailBytes }, AbortSignal.any([signal, failed.signal]));
  } finally {
    input.close();
  }
}

import { ConnectError } from '@connectrpc/connect';
import type { MicroVMEvent } from '../gen/flintlock/microvm/v1/microvms_pb.ts';
import type { Context } from './context.ts';
import { EXIT, Problem } from './exit.ts';

/**
 * Hands over each change until Ctrl-C, or until nobody reads the output any more: both are success.
 * @throws Problem when the daemon ends the stream
 */
export async function follow(
  context: Context,
  which: { readonly namespace: string; readonly labelSelector: string },
  show: (event: MicroVMEvent) => Promise<void>,
): Promise<number> {
  const signal = AbortSignal.any([context.io.interrupt, context.io.unread]);
  const { vms } = await context.clients();
  try {
    for await (const event of vms.watchMicroVMs(which, { signal })) {
      await show(event);
      if (signal.aborted) break;
    }
  } catch (error) {
    if (!(error instanceof ConnectError && signal.aborted)) throw error;
  }
  if (signal.aborted) return EXIT.done;
  throw new Problem(EXIT.failed, 'The daemon ended the stream of changes', {
    hints: ['Was it stopped? Its microVMs go on without it; try again.'],
  });
}

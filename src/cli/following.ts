import { Code, ConnectError } from '@connectrpc/connect';
import type { MicroVMEvent } from '../gen/flintlock/microvm/v1/microvms_pb.ts';
import type { Context } from './context.ts';
import { isLost } from './errors.ts';
import { EXIT, Problem } from './exit.ts';
import { secondsText } from './print/units.ts';

/** So long a daemon that went away is looked for: a restart takes a second, an upgrade some more. */
export const RETRY_MS = 60_000;
const PAUSE = { firstMs: 250, maxMs: 2_000 };

interface Followed {
  readonly namespace: string;
  readonly labelSelector: string;
  /** How long a daemon that went away is looked for, in milliseconds; 0: not at all. */
  readonly retryMs?: number;
}

/**
 * Hands over each change until Ctrl-C, or until nobody reads the output any more: both are success. When the daemon is
 * back after it went away, it goes on by its cursor: no change is left out, and none comes twice.
 * @throws Problem when the daemon ends the stream, stays away, or has forgotten what came meanwhile
 */
export async function follow(
  context: Context,
  { namespace, labelSelector, retryMs = RETRY_MS }: Followed,
  show: (event: MicroVMEvent) => Promise<void>,
): Promise<number> {
  const { io } = context;
  const signal = AbortSignal.any([io.interrupt, io.unread]);
  const { vms } = await context.clients();
  let cursor = '';
  let lostAt: number | undefined;
  let pause = PAUSE.firstMs;
  for (;;) {
    try {
      for await (const event of vms.watchMicroVMs({ namespace, labelSelector, cursor }, { signal })) {
        if (lostAt !== undefined) await context.err('flintlock: the daemon is back; no change was missed\n');
        lostAt = undefined;
        pause = PAUSE.firstMs;
        await show(event);
        cursor = event.cursor;
        if (signal.aborted) break;
      }
      if (signal.aborted) return EXIT.done;
      throw new Problem(EXIT.failed, 'The daemon ended the stream of changes', {
        hints: ['Was it stopped? Its microVMs go on without it; try again.'],
      });
    } catch (error) {
      if (!(error instanceof ConnectError)) throw error;
      if (signal.aborted) return EXIT.done;
      if (error.code === Code.OutOfRange && cursor !== '')
        throw new Problem(
          EXIT.failed,
          'Changes were missed: the daemon keeps them for a day only, or its database is another',
          {
            hints: ['Begin anew: every microVM that is there now is shown first.'],
            cause: error,
          },
        );
      // Before the first cursor there is nothing to go on from.
      if (cursor === '' || !isLost(error)) throw error;
      if (lostAt === undefined && retryMs > 0)
        await context.err(`flintlock: the daemon went away; looking for it for ${secondsText(retryMs)}\n`);
      lostAt ??= io.now();
      if (io.now() - lostAt >= retryMs) throw error;
    }
    try {
      await io.sleep(pause, signal);
    } catch {
      return EXIT.done; // Ctrl-C
    }
    pause = Math.min(pause * 2, PAUSE.maxMs);
  }
}

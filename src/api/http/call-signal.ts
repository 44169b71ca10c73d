import type { FastifyReply } from 'fastify';
import { Fault } from '../../domain/fault.ts';

/** Aborts when the caller goes away before its answer is whole, or the daemon ends. */
export function callSignal(reply: FastifyReply, stopped: AbortSignal): AbortSignal {
  const call = new AbortController();
  const onStop = (): void => call.abort(stopped.reason);
  if (stopped.aborted) onStop();
  stopped.addEventListener('abort', onStop, { once: true });
  const onClose = (): void => {
    stopped.removeEventListener('abort', onStop);
    if (!reply.raw.writableFinished) call.abort(new Fault('cancelled', 'The caller went away'));
  };
  if (reply.raw.destroyed) onClose();
  else reply.raw.once('close', onClose);
  return call.signal;
}

import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';
import { Fault } from '../../domain/fault.ts';
import type { CallFlow } from '../flow/flow.ts';

/** A call that goes on: its signal, and where what it reads has room. */
export const callOf = (reply: FastifyReply, { stopped, flows }: CallOptions): Call => {
  const room = flows.get(reply.raw);
  return { signal: callSignal(reply, stopped), ...(room && { room }) };
};

export interface CallOptions {
  readonly stopped: AbortSignal;
  /** What each answer that is under way holds. */
  readonly flows: Flows;
}

export interface Call {
  readonly signal: AbortSignal;
  readonly room?: CallFlow;
}

export type Flows = WeakMap<ServerResponse, CallFlow>;

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

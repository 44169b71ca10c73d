import type { DescMethod } from '@bufbuild/protobuf';
import type { Interceptor } from '@connectrpc/connect';
import { FLOW } from '../flow/flow.ts';
import { ANSWER_BYTES } from '../flow/limits.ts';

/** Their answers may be as large as an answer may be. */
const LISTS: ReadonlySet<string> = new Set(['ListMicroVMs', 'ListImages']);

/** How much room the answer of a call needs before it is made; 0: it is not known, and seldom much. */
export const roomOf = ({ name }: DescMethod): number => (LISTS.has(name) ? ANSWER_BYTES : 0);

/** An answer is made when there is room for it; until then its call waits. Streams ask for themselves, page by page. */
export const roomFirst: Interceptor = (next) => async (request) => {
  if (!request.stream) await request.contextValues.get(FLOW)?.answer(roomOf(request.method), request.signal);
  return next(request);
};

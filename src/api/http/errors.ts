import { Code } from '@connectrpc/connect';
import type { Log } from '../../ports/log.ts';
import { type WireError, wireError } from '../status.ts';
import { UnknownPacking } from './content-encoding.ts';

/** As for gRPC: larger is 413 with the code RESOURCE_EXHAUSTED. */
export const MAX_BODY_BYTES = 4 << 20;

/** What of an error of a request the caller is told: of Fastify's own refusals too. */
export function errorOf(error: unknown, log: Log): WireError {
  // Its connection is gone: nobody hears the answer, and it is no bug of ours.
  if (isCutOff(error))
    return {
      code: Code.Canceled,
      http: 499,
      message: 'The caller went away before its request was whole',
      details: [],
    };
  if (error instanceof UnknownPacking)
    return { code: Code.Unimplemented, http: 415, message: error.message, details: [] };
  if (!isFastifyRefusal(error)) return wireError(error, log);
  const { statusCode: http, message } = error;
  if (http === 413)
    return { code: Code.ResourceExhausted, http, message: `The body is over ${MAX_BODY_BYTES} bytes`, details: [] };
  if (http === 415) {
    const needed = 'Cannot read the body: its content-type must be application/json';
    return { code: Code.InvalidArgument, http, message: needed, details: [] };
  }
  return { code: Code.InvalidArgument, http, message, details: [] };
}

/** While the body was read. Fastify hands on what the socket said, and gives it a status. */
function isCutOff(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error) || !('statusCode' in error)) return false;
  return error.statusCode === 400 && (error.code === 'ECONNRESET' || error.code === 'ERR_STREAM_PREMATURE_CLOSE');
}

/** Fastify's own verdicts on a request: a bad URL, a body that is cut off or too large. */
function isFastifyRefusal(error: unknown): error is Error & { statusCode: number } {
  if (!(error instanceof Error) || !('code' in error) || !('statusCode' in error)) return false;
  const { code, statusCode } = error;
  return String(code).startsWith('FST_') && typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500;
}

import { Code } from '@connectrpc/connect';

/** One call that has ended. Method and code are words of ours, whatever the caller sent. */
export interface EndedCall {
  readonly surface: 'grpc' | 'http';
  /** `package.Service/Method`, or `GET /v1/microvms/:uid`; `unknown` where there is none. */
  readonly method: string;
  /** `OK`, `NOT_FOUND`; of HTTP the status, 499 where the caller went away first. */
  readonly code: string;
  /** To the last byte of the answer: of a stream, its life. */
  readonly ms: number;
}

export type CallMeter = (call: EndedCall) => void;

/** What calls count as that ask for what there is not. */
export const UNKNOWN = 'unknown';

/** As gRPC writes it. 0 is OK. @see https://grpc.github.io/grpc/core/md_doc_statuscodes.html */
export function codeName(code: number): string {
  if (code === 0) return 'OK';
  if (code === Code.Canceled) return 'CANCELLED';
  const name = Code[code];
  return name === undefined ? 'UNKNOWN' : name.replaceAll(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase();
}

import { Code, ConnectError } from '@connectrpc/connect';

/** What the machine of a provider lacks, as create says it. */
const LACKS = /has no \S+ interfaces|has room for|have room for|boots only a vmlinux/;

/** Whether a create was refused because the provider that is tried lacks what another has: in its words; undefined: it was not. */
export function lackIn(error: unknown): string | undefined {
  const refusal = error instanceof ConnectError && error.code === Code.InvalidArgument ? error.rawMessage : '';
  return LACKS.test(refusal) ? refusal : undefined;
}

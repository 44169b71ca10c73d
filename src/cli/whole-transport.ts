import type { Transport } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { Connection } from './connection.ts';
import type { Reach } from './reach.ts';

/** All that gRPC has, over one connection that is made by the first call and kept; by TLS where that is asked for. */
export function openWhole(reach: Reach): { readonly transport: Transport; close(): void } {
  const connection = new Connection(reach);
  const transport = createGrpcTransport({
    baseUrl: connection.authority,
    sessionManager: connection,
    acceptCompression: [],
  });
  return { transport, close: () => connection.close() };
}

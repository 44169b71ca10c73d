import { connect } from 'node:net';
import { type Client, createClient } from '@connectrpc/connect';
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { HostService } from '../gen/flintlock/microvm/v1/host_pb.ts';
import { MicroVMService } from '../gen/flintlock/microvm/v1/microvms_pb.ts';
import type { Address } from './address.ts';

/** A daemon's services over one connection, which is made by the first call. */
export interface Clients {
  readonly vms: Client<typeof MicroVMService>;
  readonly host: Client<typeof HostService>;
  close(): void;
}

/** How long a call that answers at once may take, in milliseconds. */
const CALL_TIMEOUT_MS = 30_000;
/** A connection that carries a long stream is asked whether it lives, so that a watch does not wait on a dead one. */
const PING_MS = 30_000;

export function openClients(address: Address): Clients {
  const baseUrl =
    'socket' in address
      ? 'http://localhost'
      : `http://${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
  const options = 'socket' in address ? { createConnection: () => connect(address.socket) } : {};
  const sessionManager = new Http2SessionManager(baseUrl, { pingIntervalMs: PING_MS }, options);
  const transport = createGrpcTransport({
    baseUrl,
    sessionManager,
    acceptCompression: [],
    interceptors: [
      (next) => (request) => {
        request.header.set('user-agent', 'flintlock-cli');
        return next(request);
      },
    ],
  });
  return {
    vms: createClient(MicroVMService, transport),
    host: createClient(HostService, transport),
    close: () => sessionManager.abort(),
  };
}

/** Options of a call that answers at once. */
export const quick = (signal: AbortSignal): { signal: AbortSignal; timeoutMs: number } => ({
  signal,
  timeoutMs: CALL_TIMEOUT_MS,
});

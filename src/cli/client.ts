import { type Client, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import type { GuestService } from '../gen/flintlock/microvm/v1/guest_pb.ts';
import type { HostService } from '../gen/flintlock/microvm/v1/host_pb.ts';
import type { ImageService } from '../gen/flintlock/microvm/v1/images_pb.ts';
import { MicroVMService } from '../gen/flintlock/microvm/v1/microvms_pb.ts';
import { Connection } from './connection.ts';
import { patienceOf } from './patience.ts';
import type { Reach } from './reach.ts';

/** A daemon's services over one connection, which is made by the first call. */
export interface Clients {
  readonly vms: Client<typeof MicroVMService>;
  /** Loaded when they are asked for, as few verbs do. */
  host(): Promise<Client<typeof HostService>>;
  images(): Promise<Client<typeof ImageService>>;
  guests(): Promise<Client<typeof GuestService>>;
  close(): void;
}

/** How long a call that answers at once may take, in milliseconds. */
const CALL_TIMEOUT_MS = 60_000 * patienceOf(process.env);
export function openClients(reach: Reach): Clients {
  const connection = new Connection(reach);
  const transport = createGrpcTransport({
    baseUrl: connection.authority,
    sessionManager: connection,
    acceptCompression: [],
  });
  return {
    vms: createClient(MicroVMService, transport),
    host: async () => createClient((await import('../gen/flintlock/microvm/v1/host_pb.ts')).HostService, transport),
    images: async () =>
      createClient((await import('../gen/flintlock/microvm/v1/images_pb.ts')).ImageService, transport),
    guests: async () => createClient((await import('../gen/flintlock/microvm/v1/guest_pb.ts')).GuestService, transport),
    close: () => connection.close(),
  };
}

/** Options of a call that answers at once. */
export const quick = (signal: AbortSignal): { signal: AbortSignal; timeoutMs: number } => ({
  signal,
  timeoutMs: CALL_TIMEOUT_MS,
});

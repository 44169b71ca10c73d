import { type Client, createClient, type Transport } from '@connectrpc/connect';
import type { GuestService } from '../gen/flintlock/microvm/v1/guest_pb.ts';
import type { HostService } from '../gen/flintlock/microvm/v1/host_pb.ts';
import type { ImageService } from '../gen/flintlock/microvm/v1/images_pb.ts';
import { MicroVMService } from '../gen/flintlock/microvm/v1/microvms_pb.ts';
import { patienceOf } from './patience.ts';
import { quickTransport } from './quick/transport.ts';
import type { Reach } from './reach.ts';

/** A daemon's services. */
export interface Clients {
  readonly vms: Client<typeof MicroVMService>;
  /** Loaded when they are asked for, as few verbs do. */
  host(): Promise<Client<typeof HostService>>;
  images(): Promise<Client<typeof ImageService>>;
  /** @param how - `once`: of calls that go on there is only one */
  guests(how?: { readonly once: boolean }): Promise<Client<typeof GuestService>>;
  close(): void;
}

/** How long a call that answers at once may take, in milliseconds. */
const CALL_TIMEOUT_MS = 60_000 * patienceOf(process.env);

export async function openClients(reach: Reach): Promise<Clients> {
  let close = (): void => undefined;
  let opened: Promise<Transport> | undefined;
  const whole = (): Promise<Transport> => {
    opened ??= import('./whole-transport.ts').then(({ openWhole }) => {
      const made = openWhole(reach);
      close = made.close;
      return made.transport;
    });
    return opened;
  };
  const { address, token } = reach;
  const by = async (how?: { readonly once: boolean }): Promise<Transport> =>
    'socket' in address ? quickTransport(address.socket, token, whole, how) : whole();
  const transport = await by();
  return {
    vms: createClient(MicroVMService, transport),
    host: async () => createClient((await import('../gen/flintlock/microvm/v1/host_pb.ts')).HostService, transport),
    images: async () =>
      createClient((await import('../gen/flintlock/microvm/v1/images_pb.ts')).ImageService, transport),
    guests: async (how) =>
      createClient(
        (await import('../gen/flintlock/microvm/v1/guest_pb.ts')).GuestService,
        how ? await by(how) : transport,
      ),
    close: () => close(),
  };
}

/** Options of a call that answers at once. */
export const quick = (signal: AbortSignal): { signal: AbortSignal; timeoutMs: number } => ({
  signal,
  timeoutMs: CALL_TIMEOUT_MS,
});

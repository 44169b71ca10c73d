import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ForwardRequestSchema } from '../gen/flintlock/microvm/v1/guest_ports_pb.ts';
import type { Context } from './context.ts';
import type { FarPort } from './port-maps.ts';

/** The end of a connection that is on this machine. */
export interface NearEnd {
  /** What it sends, until its end. An error of it cuts the connection off. */
  readonly bytes: AsyncIterable<Uint8Array>;
  write(bytes: Uint8Array): Promise<void>;
  /** Nothing is written any more. */
  end(): void;
}

/** A server of a guest. */
export interface FarEnd {
  readonly uid: string;
  /** Empty: the guest's own 127.0.0.1. */
  readonly host: string;
  readonly far: FarPort;
}

type Request = MessageInitShape<typeof ForwardRequestSchema>;

/** Small enough to let other connections between. */
const PIECE_BYTES = 32 << 10;

/**
 * Passes bytes on both ways, each end by itself, until both have ended.
 *
 * @param opened - called when the server has taken the connection
 * @throws ConnectError where nobody listens, or it was cut off
 */
export async function joinPort(
  context: Context,
  { uid, host, far }: FarEnd,
  near: NearEnd,
  signal: AbortSignal,
  opened: () => void = () => undefined,
): Promise<void> {
  async function* messages(): AsyncGenerator<Request> {
    yield { payload: { case: 'start', value: { uid, host: far.path === '' ? host : '', ...far } } };
    for await (const bytes of near.bytes)
      for (let from = 0; from < bytes.length; from += PIECE_BYTES)
        yield { payload: { case: 'data', value: new Uint8Array(bytes.subarray(from, from + PIECE_BYTES)) } };
  }
  const guests = await (await context.clients()).guests();
  for await (const { payload } of guests.forward(messages(), { signal })) {
    if (payload.case === 'data') await near.write(payload.value);
    else if (payload.case === 'opened') opened();
    else if (payload.case === 'dataEof') near.end();
  }
}

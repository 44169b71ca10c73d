import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { Code, ConnectError } from '@connectrpc/connect';
import type { Compression } from '@connectrpc/connect/protocol';
import { errorMessage } from '../../base/error-text.ts';

/** What `grpc-accept-encoding` says of us. @see https://github.com/grpc/grpc/blob/master/doc/compression.md */
export const ACCEPTED = 'identity,gzip';
/** What is smaller is not made smaller. */
export const MIN_PACKED_BYTES = 4 << 10;

const pack = promisify(gzip);
const unpack = promisify(gunzip);

/** The lowest level: on a host the time is worth more than the bytes. */
const LEVEL = 1;

export const GZIP: Compression = {
  name: 'gzip',
  compress: async (bytes) => new Uint8Array(await pack(bytes, { level: LEVEL })),
  decompress: (bytes, maxBytes) => unpacked(bytes, maxBytes),
};

export const isGrpc = (contentType: string): boolean => contentType.startsWith('application/grpc');

/** By the protocol: which headers say how a request is packed, and what its answer may be. */
function headersOf(contentType: string): readonly [encoding: string, accepted: string] {
  if (isGrpc(contentType)) return ['grpc-encoding', 'grpc-accept-encoding'];
  if (contentType.startsWith('application/connect+')) return ['connect-content-encoding', 'connect-accept-encoding'];
  return ['content-encoding', 'accept-encoding'];
}

/**
 * Takes off a request's headers how it is packed, where we read that.
 * Answers are packed for whoever packs its requests, not for everybody who
 * could unpack them: gRPC libraries all say that they could.
 */
export function packingOf(header: Headers, contentType: string): 'gzip' | 'identity' {
  const [encoding, accepted] = headersOf(contentType);
  const isPacked = header.get(encoding)?.toLowerCase() === 'gzip';
  const takesGzip = (header.get(accepted) ?? 'gzip').split(',').some((one) => one.trim() === 'gzip');
  header.set(accepted, isPacked && takesGzip ? 'gzip' : 'identity');
  if (!isPacked) return 'identity';
  header.delete(encoding);
  return 'gzip';
}

/** @throws ConnectError: more than so many bytes come out, or it is none */
export async function unpacked(bytes: Uint8Array, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await unpack(bytes, { maxOutputLength: maxBytes }));
  } catch (cause) {
    if (cause instanceof RangeError)
      throw new ConnectError(`The message is over ${maxBytes} bytes when it is unpacked`, Code.ResourceExhausted);
    const why = errorMessage(cause);
    throw new ConnectError(`Cannot unpack the message by gzip: ${why}`, Code.InvalidArgument);
  }
}

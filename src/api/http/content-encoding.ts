import type { IncomingMessage } from 'node:http';
import { pipeline, Readable, type Transform } from 'node:stream';
import { promisify } from 'node:util';
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress, gzip } from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { errorMessage } from '../../base/error-text.ts';
import { Fault } from '../../domain/fault.ts';

/** What a body may be packed by. @see https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1 */
const UNPACKERS: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
  zstd: createZstdDecompress,
};
const READ = 'gzip, deflate, br, zstd';

/** What is smaller is not made smaller. */
const MIN_PACKED_BYTES = 4 << 10;
/** The lowest: on a host the time is worth more than the bytes. */
const LEVEL = 1;

const pack = promisify(gzip);

/** 415, with what would be read in `accept-encoding`: RFC 9110 section 15.5.16. */
export class UnknownPacking extends Error {
  constructor(encoding: string) {
    super(`Cannot read a body with the content-encoding "${encoding}": ${READ} or none are read, and one of them`);
  }
}

/**
 * A request's body as it was before it was packed. Whoever reads it bounds
 * what comes out.
 *
 * @throws UnknownPacking
 */
export function unpacked({ headers }: FastifyRequest, reply: FastifyReply, raw: IncomingMessage): Readable {
  const encoding = String(headers['content-encoding'] ?? 'identity')
    .trim()
    .toLowerCase();
  if (encoding === 'identity' || encoding === '') return raw;
  const unpacker = Object.hasOwn(UNPACKERS, encoding) ? UNPACKERS[encoding]?.() : undefined;
  if (!unpacker) {
    reply.header('accept-encoding', READ);
    throw new UnknownPacking(encoding.slice(0, 100));
  }
  const count = (bytes: number): void => {
    body.receivedEncodedLength += bytes;
  };
  // Fastify compares it with the content-length.
  const body = Object.assign(Readable.from(bytesOf(raw, unpacker, encoding, count)), { receivedEncodedLength: 0 });
  return body;
}

async function* bytesOf(
  raw: IncomingMessage,
  unpacker: Transform,
  encoding: string,
  count: (bytes: number) => void,
): AsyncGenerator<Buffer> {
  async function* counted(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const piece of pieces) {
      count(piece.length);
      yield piece;
    }
  }
  try {
    yield* pipeline(raw, counted, unpacker, () => undefined);
  } catch (cause) {
    if (raw.errored || !raw.complete) throw raw.errored ?? cause; // its caller went away
    const why = errorMessage(cause);
    throw new Fault('invalid', `Cannot unpack the body by ${encoding}: ${why}`, { cause });
  }
}

/** An answer as the caller asked for it: packed where that makes it smaller. */
export async function packed({ headers }: FastifyRequest, reply: FastifyReply, payload: string): Promise<Buffer> {
  const bytes = Buffer.from(payload);
  if (bytes.length < MIN_PACKED_BYTES) return bytes;
  reply.header('vary', 'accept-encoding');
  if (!takesGzip(String(headers['accept-encoding'] ?? ''))) return bytes;
  reply.header('content-encoding', 'gzip');
  return pack(bytes, { level: LEVEL });
}

const takesGzip = (accepted: string): boolean =>
  accepted
    .toLowerCase()
    .split(',')
    .some((one) => /^\s*(gzip|x-gzip|\*)\s*(;\s*q=(?!0(\.0*)?\s*$)[\d.]+\s*)?$/.test(one));

/** Percent-encoded, of the 64 KiB of headers that Node's client takes; our own messages are shorter. */
const MAX_TRAILER = 20_000;

/**
 * A text as `grpc-message` carries it. Not as a part of a URL: clients that
 * decode no more than they must (grpc-js) would show `%3A` for every colon.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses
 */
export function encodeMessage(text: string): string {
  const encoded = text.toWellFormed().replaceAll(/[^\x20-\x24\x26-\x7e]+/g, encodeURIComponent);
  return encoded.length > MAX_TRAILER ? encoded.slice(0, MAX_TRAILER).replace(/%.?$/, '') : encoded;
}

/**
 * The library encodes like a part of a URL; and it quotes what it cannot read: a name of a
 * megabyte would break the caller's connection, not just its call.
 */
export function mendMessage(trailer: Headers): void {
  const message = trailer.get('grpc-message');
  if (message !== null) trailer.set('grpc-message', encodeMessage(decoded(message)));
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

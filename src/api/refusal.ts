import type { Socket } from 'node:net';
import { refuseHttp2 } from './refuse-http2.ts';

/** What the first bytes of a connection say that it is. */
export type Speech = 'tls' | 'http2' | 'http1' | 'other';

/** So long the other side may take to read why. */
const LINGER_MS = 1_000;
/** So long a gRPC client may take to make the call that is answered with the reason. */
const CALL_MS = 1_000;
const PREFACE = Buffer.from('PRI');

/** @returns undefined where more bytes are needed */
export function speechOf(head: Uint8Array): Speech | undefined {
  const [byte] = head;
  if (byte === undefined) return undefined;
  if (byte === 0x16) return 'tls'; // a handshake record: RFC 8446 section 5.1
  const first = Buffer.from(head.subarray(0, PREFACE.length));
  if (first.equals(PREFACE.subarray(0, first.length))) return first.length < PREFACE.length ? undefined : 'http2';
  return byte >= 0x41 && byte <= 0x5a ? 'http1' : 'other'; // methods are in capitals
}

/** Says why in the other side's own language, and hangs up. Nothing of ours has parsed what it sent. */
export function refuse(socket: Socket, speech: Speech, message: string): void {
  socket.on('error', () => undefined);
  const late = setTimeout(() => socket.destroy(), speech === 'http2' ? CALL_MS + LINGER_MS : LINGER_MS);
  socket.once('close', () => clearTimeout(late));
  if (speech === 'http2') {
    refuseHttp2(socket, message, CALL_MS);
    return;
  }
  socket.resume(); // what is left unread when a socket closes makes a reset of it, and the reason is lost
  if (socket.writable) socket.end(badRequest(message));
}

/** In the form of the HTTP surface's errors, as FAILED_PRECONDITION. */
function badRequest(message: string): Buffer {
  const body = Buffer.from(`${JSON.stringify({ code: 9, message, details: [] })}\n`);
  const head = [
    'HTTP/1.1 400 Bad Request',
    'content-type: application/json',
    `content-length: ${body.length}`,
    'connection: close',
  ];
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body]);
}

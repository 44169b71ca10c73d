import type { Socket } from 'node:net';

const HEADERS = 1;
const SETTINGS = 4;
const GOAWAY = 7;
const FRAME_HEADER = 9;
/** Before the first frame: RFC 9113 section 3.4. */
const PREFACE_BYTES = 24;
/** INADEQUATE_SECURITY, which fits what is refused so. */
const CODE = 0xc;
const END_STREAM_AND_HEADERS = 0x5;
const UNAVAILABLE = '14';

/**
 * Says in HTTP/2 why a connection is not taken, and ends it: with a GOAWAY,
 * and to a gRPC client as the answer of its first call, UNAVAILABLE with the
 * reason. Without that answer gRPC's C core and others take the call for one
 * that nobody has seen, and connect anew at once and for ever.
 *
 * Only the heads of frames are looked at, up to the first call's.
 *
 * @param limitMs - a client that calls nothing for so long gets the GOAWAY alone
 */
export function refuseHttp2(socket: Socket, message: string, limitMs: number): void {
  const end = (stream: number): void => {
    clearTimeout(late);
    socket.off('data', look);
    socket.resume();
    const answer = stream === 0 ? [] : [frame(HEADERS, answerOf(message), stream, END_STREAM_AND_HEADERS)];
    // Node's own client ends all streams at such a GOAWAY: the answer goes first.
    if (socket.writable) socket.end(Buffer.concat([...answer, goAway(message, stream)]));
  };
  const next = streamOfFirstCall();
  const look = (data: Buffer): void => {
    const stream = next(data);
    if (stream !== undefined) end(stream);
  };
  const late = setTimeout(end, limitMs, 0);
  socket.once('close', () => clearTimeout(late));
  socket.on('data', look);
  if (socket.writable) socket.write(frame(SETTINGS, Buffer.alloc(0)));
}

/** Takes what a client sends, piece by piece, until it has sent the head of a HEADERS frame. */
function streamOfFirstCall(): (data: Buffer) => number | undefined {
  let skip = PREFACE_BYTES;
  let head = Buffer.alloc(0);
  return (data) => {
    for (let at = 0; at < data.length; ) {
      const skipped = Math.min(skip, data.length - at);
      skip -= skipped;
      at += skipped;
      const piece = data.subarray(at, at + FRAME_HEADER - head.length);
      head = Buffer.concat([head, piece]);
      at += piece.length;
      if (head.length < FRAME_HEADER) continue;
      if (head[3] === HEADERS) return head.readUInt32BE(5) & 0x7fff_ffff;
      skip = head.readUIntBE(0, 3);
      head = Buffer.alloc(0);
    }
    return undefined;
  };
}

/** @see https://www.rfc-editor.org/rfc/rfc9113#section-6.8 */
function goAway(message: string, lastStream: number): Buffer {
  const reason = Buffer.alloc(8);
  reason.writeUInt32BE(lastStream);
  reason.writeUInt32BE(CODE, 4);
  return frame(GOAWAY, Buffer.concat([reason, Buffer.from(message)]));
}

/** @see https://www.rfc-editor.org/rfc/rfc7541 */
function answerOf(message: string): Buffer {
  return Buffer.concat([
    Buffer.from([0x88]), // :status 200
    field('content-type', 'application/grpc'),
    field('grpc-status', UNAVAILABLE),
    field('grpc-message', encodeURIComponent(message)),
    field('flintlock-connection', 'refused'), // not the call: our CLI says what to do about it
  ]);
}

/** As it is, kept in no table: RFC 7541 section 6.2.2. */
const field = (name: string, value: string): Buffer => Buffer.concat([Buffer.from([0]), text(name), text(value)]);

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  const length = bytes.length < 0x7f ? [bytes.length] : [0x7f];
  if (bytes.length >= 0x7f) {
    let rest = bytes.length - 0x7f;
    for (; rest >= 0x80; rest >>= 7) length.push((rest & 0x7f) | 0x80);
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}

function frame(type: number, payload: Buffer, stream = 0, flags = 0): Buffer {
  const head = Buffer.alloc(FRAME_HEADER);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/**
 * HTTP/2's frames.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9113#section-4
 */
export const KIND = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const;

export interface Frame {
  readonly kind: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

const HEADER_BYTES = 9;
const SETTING_BYTES = 6;
/** More nobody may send who was not told that he may. */
export const MOST_BYTES = 16_384;
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const TABLE_SIZE = 1;
const ENABLE_PUSH = 2;
export const WINDOW_SIZE = 4;
const MOST_WINDOW = 0x7fff_ffff;
const FIRST_WINDOW = 65_535;

export function frame(kind: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = kind;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

/** What a client says first. @param window - how much may come unasked, bytes: as HTTP/2 allows, since what is too long for the memory, no list is */
export function opening(window = MOST_WINDOW): Buffer {
  const settings = [
    [TABLE_SIZE, 0],
    [ENABLE_PUSH, 0],
    [WINDOW_SIZE, window],
  ] as const;
  const payload = Buffer.alloc(settings.length * SETTING_BYTES);
  for (const [i, [name, value]] of settings.entries()) {
    payload.writeUInt16BE(name, i * SETTING_BYTES);
    payload.writeUInt32BE(value, i * SETTING_BYTES + 2);
  }
  return Buffer.concat([
    Buffer.from(PREFACE),
    frame(KIND.settings, 0, 0, payload),
    windowFrame(0, window - FIRST_WINDOW),
  ]);
}

/** So many bytes more may come. @param stream - 0: of all */
export function windowFrame(stream: number, more: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(more);
  return frame(KIND.window, 0, stream, payload);
}

/** A setting's value, where these settings have it. */
export function settingOf(settings: Buffer, wanted: number): number | undefined {
  let found: number | undefined;
  for (let at = 0; at + SETTING_BYTES <= settings.length; at += SETTING_BYTES)
    if (settings.readUInt16BE(at) === wanted) found = settings.readUInt32BE(at + 2);
  return found;
}

/** Takes bytes as they come. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);
  /** Whether who speaks has begun as a server of HTTP/2 does. */
  isHttp2 = false;

  /** @throws RangeError of what is no HTTP/2 */
  *take(chunk: Buffer): Iterable<Frame> {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= HEADER_BYTES) {
      const length = this.#rest.readUIntBE(0, 3);
      const kind = this.#rest.readUInt8(3);
      if (length > MOST_BYTES || (!this.isHttp2 && kind !== KIND.settings)) throw new RangeError('it is no HTTP/2');
      const end = HEADER_BYTES + length;
      if (this.#rest.length < end) return;
      this.isHttp2 = true;
      const found = {
        ...{ kind, flags: this.#rest.readUInt8(4), stream: this.#rest.readUInt32BE(5) & MOST_WINDOW },
        payload: this.#rest.subarray(HEADER_BYTES, end),
      };
      this.#rest = this.#rest.subarray(end);
      yield found;
    }
  }
}

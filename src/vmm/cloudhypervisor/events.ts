import { isObject } from './machine.ts';

/** What Cloud Hypervisor tells unasked. */
export interface VmmEvent {
  /** `SOURCE EVENT`: `vm booted`. */
  readonly what: string;
  readonly properties: Readonly<Record<string, unknown>>;
}

/** An event longer than this is none: they have 150 bytes. What a VMM that was broken into writes must not fill our memory. */
const MAX_EVENT_CHARS = 8_192;

/**
 * Reads the file of the event monitor: JSON objects over several lines, each from a line `{` to a line `}`. What lies
 * between them, and what is none, is passed over.
 * @see https://github.com/cloud-hypervisor/cloud-hypervisor/blob/main/event_monitor/src/lib.rs
 */
export class EventParser {
  readonly #decoder = new TextDecoder();
  /** The line that has not ended yet; undefined: the rest of one that was too long. */
  #line: string | undefined = '';
  /** The object that has not ended yet. */
  #object: string | undefined;

  /** @returns the events that end in this piece */
  add(piece: Uint8Array): readonly VmmEvent[] {
    const found: VmmEvent[] = [];
    const [first = '', ...others] = this.#decoder.decode(piece, { stream: true }).split('\n');
    this.#lengthen(first);
    for (const next of others) {
      const event = this.#end();
      if (event) found.push(event);
      this.#line = '';
      this.#lengthen(next);
    }
    return found;
  }

  #lengthen(text: string): void {
    if (this.#line === undefined) return;
    this.#line += text;
    if (this.#line.length > MAX_EVENT_CHARS) this.#line = undefined;
  }

  /** Of a line. */
  #end(): VmmEvent | undefined {
    const line = this.#line;
    if (line === '{') {
      this.#object = line;
      return undefined;
    }
    if (this.#object === undefined) return undefined;
    const object = `${this.#object}\n${line ?? ''}`;
    const isOver = line === '}';
    this.#object = isOver || line === undefined || object.length > MAX_EVENT_CHARS ? undefined : object;
    return isOver ? eventOf(object) : undefined;
  }
}

function eventOf(text: string): VmmEvent | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(value) || typeof value.source !== 'string' || typeof value.event !== 'string') return undefined;
  return { what: `${value.source} ${value.event}`, properties: isObject(value.properties) ? value.properties : {} };
}

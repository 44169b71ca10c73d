import { Fault } from '../domain/fault.ts';
import type { ExtendedAttribute, GuestFile } from '../ports/guest-files.ts';
import { type FileRecord, parseEntry, RECORD, record } from './file-records.ts';

/** Each: 1 byte, 1 byte length of the name, both; guest/agent/files-extended.c has the other side. */
const FIXED_BYTES = 2;
const MAX_NAME = 255;
const MAX_VALUE = 32 << 10;
/** Of one file. */
const MAX_ALL = 64 << 10;
/** Of one file an agent tells no more, each of which has at least its name. */
const MAX_COUNT = 4_096;
/** The value was too large: its name alone. */
const LEFT_OUT = 1;

/**
 * What follows a request that sets them.
 * @returns undefined where there are none; `left`: how many no agent takes
 */
export function extendedRecords(
  attributes: readonly ExtendedAttribute[] | undefined,
): { readonly bytes: Uint8Array; readonly left: number } | undefined {
  if (!attributes || attributes.length === 0) return undefined;
  const records: Uint8Array[] = [];
  let size = 0;
  for (const { name, value } of attributes) {
    const all = FIXED_BYTES + name.length + value.length;
    if (name.length === 0 || name.length > MAX_NAME || name.includes(0) || value.length > MAX_VALUE) continue;
    if (size + all > MAX_ALL) continue;
    size += all;
    records.push(record(RECORD.extended, Buffer.concat([Uint8Array.of(0, name.length), name, value])));
  }
  return {
    bytes: Buffer.concat([...records, record(RECORD.end)]),
    left: attributes.length - records.length,
  };
}

/**
 * Files with the extended attributes that follow each, in the order in which an agent tells them.
 * @param isTold - false: it is of a version that tells of none
 */
export class FilesTold {
  readonly #isTold: boolean;
  #file: GuestFile | undefined;
  #extended: ExtendedAttribute[] = [];
  #isPart = false;
  #size = 0;

  constructor(isTold: boolean) {
    this.#isTold = isTold;
  }

  /** @throws Fault `tool` for what no agent tells */
  *take({ type, payload }: FileRecord): Generator<GuestFile> {
    if (type === RECORD.entry) {
      yield* this.end();
      this.#file = parseEntry(payload).file;
    } else if (type === RECORD.extended) this.#take(payload);
  }

  /** The last one. */
  *end(): Generator<GuestFile> {
    const file = this.#file;
    if (file)
      yield { ...file, extended: this.#extended, ...((this.#isPart || !this.#isTold) && { isExtendedPart: true }) };
    this.#file = undefined;
    this.#extended = [];
    this.#isPart = false;
    this.#size = 0;
  }

  #take(payload: Buffer): void {
    const nameEnd = FIXED_BYTES + (payload[1] ?? 0);
    this.#size += payload.length;
    const isWrong = payload.length < nameEnd || nameEnd === FIXED_BYTES || this.#extended.length >= MAX_COUNT;
    if (!this.#file || isWrong || this.#size > 4 * MAX_ALL)
      throw new Fault('tool', 'The guest agent told of an extended attribute in a form that no agent uses');
    if (((payload[0] ?? 0) & LEFT_OUT) !== 0) this.#isPart = true;
    else
      this.#extended.push({
        name: new Uint8Array(payload.subarray(FIXED_BYTES, nameEnd)),
        value: new Uint8Array(payload.subarray(nameEnd)),
      });
  }
}

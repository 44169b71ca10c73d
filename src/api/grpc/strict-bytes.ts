import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { Fault } from '../../domain/fault.ts';

/**
 * Two APIs share this port, and tags with other meanings. What a client of the
 * one sends to the other is read by the protobuf library as if it were what
 * the tag says: a text where a number should be shifts all that follows, and
 * something else than was meant comes out. So the bytes are looked at first.
 *
 * @throws Fault `invalid` that names a field whose bytes are not of its type, or one that is reserved
 */
export function checkBytes(desc: DescMessage, bytes: Uint8Array): void {
  try {
    walk(desc, bytes, '', 0);
  } catch (error) {
    // gRPC has a code of its own for it, which the library gives.
    if (!(error instanceof NoMessage)) throw error;
  }
}

/** As deep as the library goes. Below it the library refuses by itself. */
const MAX_DEPTH = 100;

function walk(desc: DescMessage, bytes: Uint8Array, path: string, depth: number): void {
  if (depth > MAX_DEPTH) return;
  const reader = new BinaryReader(bytes);
  const counts = new Map<number, number>();
  while (reader.pos < reader.len) {
    const [number, wireType] = readable(() => reader.tag(), path);
    const field = desc.fields.find((one) => one.number === number);
    if (!field) {
      if (desc.proto.reservedRange.some(({ start, end }) => number >= start && number < end))
        throw wrong(`${path}${number}`, 'is a field of another API, which has this tag');
      readable(() => reader.skip(wireType, number), path);
      continue;
    }
    const index = counts.get(number) ?? 0;
    counts.set(number, index + 1);
    const name = `${path}${field.name}${field.fieldKind === 'list' ? `[${index}]` : ''}`;
    // Nobody sends groups any more: they are no field of another API, but no message.
    if (wireType === WireType.StartGroup || wireType === WireType.EndGroup) throw unreadable(path);
    if (!fits(field, wireType)) throw wrong(name, `is sent as ${WIRE[wireType]}, and is ${kindOf(field)}`);
    if (wireType !== WireType.LengthDelimited) {
      readable(() => reader.skip(wireType, number), path);
      continue;
    }
    const inner = readable(() => reader.bytes(), path);
    if (field.fieldKind === 'map') checkEntry(field, inner, name, depth);
    else if (field.message) walk(field.message, inner, `${name}.`, depth + 1);
  }
}

/**
 * An interface of the drop-in API that has a name alone looks like an entry of
 * it without a value, which is no metadata. Of other maps some clients leave
 * an empty value out.
 */
const METADATA = 'flintlock.types.MicroVMSpec.metadata';

/** A map's entry is a message of a key with tag 1 and a value with tag 2. */
function checkEntry(field: DescField & { fieldKind: 'map' }, bytes: Uint8Array, name: string, depth: number): void {
  const reader = new BinaryReader(bytes);
  const types = new Map([
    [1, wireTypeOf(field.mapKey)],
    [2, field.mapKind === 'scalar' ? wireTypeOf(field.scalar) : field.mapKind === 'enum' ? 0 : 2],
  ]);
  const found = new Set<number>();
  while (reader.pos < reader.len) {
    const [number, wireType] = readable(() => reader.tag(), `${name}.`);
    found.add(number);
    const isOurs = types.get(number) === wireType;
    if (!isOurs) throw wrong(name, 'is no pair of a key and a value');
    if (number === 2 && field.mapKind === 'message')
      walk(
        field.message,
        readable(() => reader.bytes(), `${name}.`),
        `${name}.`,
        depth + 1,
      );
    else readable(() => reader.skip(wireType, number), `${name}.`);
  }
  if (`${field.parent.typeName}.${field.name}` === METADATA && !found.has(2))
    throw wrong(name, 'has a key and no value');
}

/** @throws Fault `invalid`; {@link NoMessage} where the whole is none */
function readable<T>(read: () => T, path: string): T {
  try {
    return read();
  } catch {
    throw unreadable(path);
  }
}

class NoMessage extends Error {}

const unreadable = (path: string): Error =>
  path === '' ? new NoMessage() : wrong(path.replace(/\.$/, ''), 'cannot be read as protobuf');

function fits(field: DescField, wireType: WireType): boolean {
  switch (field.fieldKind) {
    case 'message':
    case 'map':
      return wireType === WireType.LengthDelimited;
    case 'enum':
      return wireType === WireType.Varint;
    case 'scalar':
      return wireType === wireTypeOf(field.scalar);
    case 'list':
      if (field.listKind === 'message') return wireType === WireType.LengthDelimited;
      // Numbers may be packed.
      return (
        wireType === WireType.LengthDelimited ||
        wireType === (field.listKind === 'enum' ? WireType.Varint : wireTypeOf(field.scalar))
      );
    default:
      return field satisfies never;
  }
}

function wireTypeOf(scalar: ScalarType): WireType {
  switch (scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return WireType.LengthDelimited;
    case ScalarType.DOUBLE:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return WireType.Bit64;
    case ScalarType.FLOAT:
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      return WireType.Bit32;
    default:
      return WireType.Varint;
  }
}

const WIRE: Readonly<Record<number, string>> = {
  [WireType.Varint]: 'a number',
  [WireType.Bit64]: 'a 64-bit value',
  [WireType.Bit32]: 'a 32-bit value',
  [WireType.LengthDelimited]: 'a text or message',
};

function kindOf(field: DescField): string {
  if (field.fieldKind === 'map') return 'a map';
  if (field.message) return `a ${field.message.name}`;
  return field.scalar === ScalarType.STRING || field.scalar === ScalarType.BYTES ? 'a text' : 'a number';
}

const wrong = (field: string, description: string): Fault =>
  Fault.invalid([
    {
      field,
      description: `${description}; the native and the drop-in API give some tags other meanings: call the service that the client was made for`,
    },
  ]);

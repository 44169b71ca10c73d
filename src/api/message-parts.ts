import {
  create,
  type DescField,
  type DescMessage,
  type MessageInitShape,
  ScalarType,
  toBinary,
} from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/** Of fewer bytes than that a message is made as any other. */
const MANY_BYTES = 1 << 10;

/**
 * The bytes of a message. Where bytes are all that it holds they are one of the parts, as they lie there: of output that a guest
 * writes as fast as it can the library would make four copies, which V8 then has to look for.
 */
export function partsOf<S extends DescMessage>(desc: S, message: MessageInitShape<S>): readonly Uint8Array[] {
  const found = bytesAlone(desc, message);
  if (!found) return [toBinary(desc, create(desc, message))];
  const { field, bytes } = found;
  const head = new BinaryWriter().tag(field.number, WireType.LengthDelimited).uint32(bytes.length).finish();
  return [head, bytes];
}

function bytesAlone(desc: DescMessage, message: object): { field: DescField; bytes: Uint8Array } | undefined {
  const [one, ...others] = Object.entries(message).filter(([name]) => name !== '$typeName');
  if (!one || others.length > 0) return undefined;
  const [name, value] = one;
  const member = desc.members.find(({ localName }) => localName === name);
  if (member?.kind === 'field') return many(member, value);
  const chosen: { readonly case?: string; readonly value?: unknown } = value ?? {};
  const field = member?.fields.find(({ localName }) => localName === chosen.case);
  return field && many(field, chosen.value);
}

const many = (field: DescField, value: unknown): { field: DescField; bytes: Uint8Array } | undefined =>
  field.fieldKind === 'scalar' &&
  field.scalar === ScalarType.BYTES &&
  value instanceof Uint8Array &&
  value.length >= MANY_BYTES
    ? { field, bytes: value }
    : undefined;

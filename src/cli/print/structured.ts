import { type DescMessage, type JsonValue, type MessageShape, toJson } from '@bufbuild/protobuf';

/** Formats for programs. */
export type Structured = 'json' | 'yaml';

/** Protobuf JSON with every field that has no presence, so that a PENDING state or an empty list is there to be read. */
export function jsonOf<D extends DescMessage>(schema: D, message: MessageShape<D>): JsonValue {
  return toJson(schema, message, { alwaysEmitImplicit: true });
}

/** One document, ended by a newline. */
export async function structuredText(value: unknown, format: Structured): Promise<string> {
  if (format === 'json') return `${JSON.stringify(value, null, 2)}\n`;
  const { stringify } = await import('yaml');
  return stringify(value);
}

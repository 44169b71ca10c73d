import { type DescEnum, type DescField, type DescMessage, type JsonValue, ScalarType } from '@bufbuild/protobuf';
import { nearest } from './nearest.ts';

/**
 * Makes protobuf JSON of what a user wrote, with names in snake or camel case, and says of each thing that is
 * wrong where it is and what would be right.
 */
export class JsonSpec {
  /** One line for each thing that is wrong: `volumes[0].size_in_mb: …`. */
  readonly wrong: string[] = [];

  message(desc: DescMessage, value: unknown, path: string): JsonValue {
    if (desc.typeName.startsWith('google.protobuf.')) return value as JsonValue; // a time: the decoder judges it
    if (!isMapping(value)) return this.#fail(path, `must be a mapping of fields, not ${describe(value)}`);
    const json: Record<string, JsonValue> = {};
    for (const [key, inner] of Object.entries(value)) {
      const field = desc.fields.find(({ name, jsonName }) => name === key || jsonName === key);
      if (!field) this.#fail(join(path, key), unknownField(desc, key));
      else if (field.jsonName in json) this.#fail(join(path, field.name), 'is given twice');
      else if (inner !== null && inner !== undefined)
        json[field.jsonName] = this.#field(field, inner, join(path, field.name));
    }
    return json;
  }

  #field(field: DescField, value: unknown, path: string): JsonValue {
    switch (field.fieldKind) {
      case 'list':
        if (!Array.isArray(value)) return this.#fail(path, `must be a list, not ${describe(value)}`);
        return value.map((item: unknown, i) => this.#item(field, field.listKind, item, `${path}[${i}]`));
      case 'map': {
        if (!isMapping(value)) return this.#fail(path, `must be a mapping, not ${describe(value)}`);
        const entries = Object.entries(value);
        return Object.fromEntries(
          entries.map(([key, item]) => [
            key,
            this.#item(field, field.mapKind, item, `${path}[${JSON.stringify(key)}]`),
          ]),
        );
      }
      default:
        return this.#item(field, field.fieldKind, value, path);
    }
  }

  #item(field: DescField, kind: 'scalar' | 'enum' | 'message', value: unknown, path: string): JsonValue {
    if (kind === 'message') return field.message ? this.message(field.message, value, path) : null;
    if (kind === 'enum') return field.enum ? this.#enum(field.enum, value, path) : null;
    return this.#scalar(field.scalar ?? ScalarType.STRING, value, path);
  }

  #enum(desc: DescEnum, value: unknown, path: string): JsonValue {
    const found = desc.values.find(({ name, number }) =>
      typeof value === 'string' ? name === value.toUpperCase() : number === value,
    );
    if (found) return found.name;
    return this.#fail(path, `must be ${desc.values.map(({ name }) => name).join(' or ')}, not ${describe(value)}`);
  }

  #scalar(type: ScalarType, value: unknown, path: string): JsonValue {
    switch (type) {
      case ScalarType.STRING:
        if (typeof value === 'string') return value;
        return this.#fail(path, `must be text, not ${describe(value)}${isScalar(value) ? `: write "${value}"` : ''}`);
      case ScalarType.BOOL:
        if (typeof value === 'boolean') return value;
        return this.#fail(path, `must be true or false, not ${describe(value)}`);
      case ScalarType.INT32:
        if (typeof value === 'number' && Number.isInteger(value) && value >= -(2 ** 31) && value < 2 ** 31)
          return value;
        return this.#fail(path, `must be a whole number of at most ${2 ** 31 - 1}, not ${describe(value)}`);
      default:
        return value as JsonValue; // the decoder judges it
    }
  }

  #fail(path: string, why: string): null {
    this.wrong.push(`${path === '' ? 'the spec' : path}: ${why}`);
    return null;
  }
}

function unknownField(desc: DescMessage, key: string): string {
  const below = desc.fields.find(({ message }) =>
    message?.fields.some(({ name, jsonName }) => name === key || jsonName === key),
  );
  if (below) return `there is no such field; it belongs below ${below.name}`;
  const names = desc.fields.map(({ name }) => name);
  const near = nearest(key, names);
  return near === undefined
    ? `there is no such field; there are ${names.join(', ')}`
    : `there is no such field; did you mean ${near}?`;
}

const join = (path: string, key: string): string => {
  const part = /^[\w-]+$/.test(key) ? key : JSON.stringify(key);
  return path === '' ? part : `${path}.${part}`;
};

const isMapping = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isScalar = (value: unknown): boolean => typeof value === 'number' || typeof value === 'boolean';

function describe(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a mapping';
  return typeof value === 'string' ? `"${value.slice(0, 60)}"` : `the ${typeof value} ${String(value)}`;
}

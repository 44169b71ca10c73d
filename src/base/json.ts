/** An object of JSON, of which nothing else is known. */
export type JsonObject = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** An object without fields where it is none. */
export const objectOf = (value: unknown): JsonObject => (isObject(value) ? value : {});

/** The objects in a list; none where it is no list. */
export const objectsIn = (value: unknown): readonly JsonObject[] =>
  Array.isArray(value) ? value.filter(isObject) : [];

/** The empty text where it is none. */
export const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

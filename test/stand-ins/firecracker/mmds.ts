/** The metadata that Firecracker answers its guest with. */
type Json = unknown;

export class NotFit extends Error {}

/** @see https://github.com/firecracker-microvm/firecracker/blob/main/src/vmm/src/mmds/data_store.rs */
export class Mmds {
  readonly #limit: number;
  #data: Json = null;
  isThere = false;

  /** @param limit - of what it holds, as JSON, in bytes */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get data(): Json {
    return this.#data;
  }

  /** @throws NotFit */
  put(data: Json): void {
    if (Buffer.byteLength(JSON.stringify(data)) > this.#limit)
      throw new NotFit("MMDS limit exceeded error: The MMDS patch request doesn't fit.");
    this.#data = data;
    this.isThere = true;
  }

  /** @throws NotFit */
  patch(data: Json): void {
    this.put(merged(this.#data, data));
  }

  /** What a guest gets that has a token, or needs none. */
  answer(path: string): string {
    let node = this.#data;
    for (const part of path.replace(/\/$/, '').split('/').slice(1)) {
      const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
      node = isMap(node) && Object.hasOwn(node, name) ? node[name] : undefined;
    }
    if (node === undefined) return `404 Resource not found: ${path}.`;
    if (typeof node === 'string') return node;
    if (!isMap(node)) return '501 Cannot retrieve value. The value has an unsupported type.';
    return sorted(node)
      .map(([name, value]) => (isMap(value) ? `${name}/` : name))
      .join(' ');
  }
}

const isMap = (value: Json): value is Readonly<Record<string, Json>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const sorted = (map: Readonly<Record<string, Json>>) => Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1));

/** @see https://www.rfc-editor.org/rfc/rfc7396 */
function merged(old: Json, patch: Json): Json {
  if (!isMap(patch)) return patch;
  const next = new Map(Object.entries(isMap(old) ? old : {}));
  for (const [name, value] of Object.entries(patch))
    if (value === null) next.delete(name);
    else next.set(name, merged(next.get(name), value));
  return Object.fromEntries(next);
}

/** As serde_json keeps it. */
export const inOrder = (value: Json): Json => {
  if (Array.isArray(value)) return value.map(inOrder);
  return isMap(value) ? Object.fromEntries(sorted(value).map(([name, inner]) => [name, inOrder(inner)])) : value;
};

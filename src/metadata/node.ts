/** A part of the metadata: a directory, a list, or a value. Maps, so that no key of a user's is a property of ours. */
export type Node = ReadonlyMap<string, Node> | readonly Node[] | Uint8Array;

export const isDirectory = (node: Node): node is ReadonlyMap<string, Node> => node instanceof Map;
export const isValue = (node: Node): node is Uint8Array => node instanceof Uint8Array;

/**
 * What lies at a path: `latest/meta-data/instance-id`. Slashes are counted
 * once, one at the end is passed over; `~1` is a slash and `~0` a tilde in a
 * name, as in Firecracker's paths.
 * @see https://www.rfc-editor.org/rfc/rfc6901
 */
export function lookUp(root: Node, path: string): Node | undefined {
  let node: Node | undefined = root;
  for (const part of path.split('/').filter((name) => name !== '')) {
    if (node === undefined) return undefined;
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (isDirectory(node)) node = node.get(name);
    else if (isValue(node)) return undefined;
    else node = /^(?:0|[1-9]\d{0,8})$/.test(name) ? node[Number(name)] : undefined;
  }
  return node;
}

/** Undefined where a value is no text. */
export function asJson(node: Node): string | undefined {
  if (isValue(node)) {
    const text = textOf(node);
    return text === undefined ? undefined : JSON.stringify(text);
  }
  if (!isDirectory(node)) {
    const items = node.map(asJson);
    return items.includes(undefined) ? undefined : `[${items.join(',')}]`;
  }
  const entries = sorted(node).map(([key, value]) => {
    const json = asJson(value);
    return json === undefined ? undefined : `${JSON.stringify(key)}:${json}`;
  });
  return entries.includes(undefined) ? undefined : `{${entries.join(',')}}`;
}

/** A directory's names, one a line, with a slash behind directories; a value as it is. Undefined for a list. */
export function asText(node: Node): Uint8Array | undefined {
  if (isValue(node)) return node;
  if (!isDirectory(node)) return undefined;
  const names = sorted(node).map(([key, value]) => (isDirectory(value) ? `${key}/` : key));
  return Buffer.from(names.join('\n'));
}

/** Undefined where the bytes are no UTF-8. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

const sorted = (node: ReadonlyMap<string, Node>): readonly (readonly [string, Node])[] =>
  [...node].sort(([a], [b]) => (a < b ? -1 : 1));

import { type Document, isMap, parseDocument } from 'yaml';
import { MAX_META_DATA_BYTES } from '../domain/metadata-rules.ts';
import { type Node, textOf } from './node.ts';

/** One thing in two spellings: cloud-init's own, and that of today's clients, whose templates ask for it. */
const INSTANCE_ID = ['instance-id', 'instance_id'] as const;
const HOSTNAME = ['local-hostname', 'local_hostname'] as const;

/** What stands under `latest/meta-data`. */
export interface MetaData {
  /** For cloud-init. */
  readonly document: Uint8Array;
  /** To be asked for part by part. */
  readonly node: Node;
}

/**
 * The user's meta-data with what it lacks. Every scalar of it is text, as it
 * was written: `0123` stays that.
 *
 * What is no YAML mapping is served as it was given.
 */
export function metaDataOf(
  given: Uint8Array,
  { uid, hostname }: { readonly uid: string; readonly hostname?: string | undefined },
): MetaData {
  const document = parse(given);
  if (!document) return { document: given, node: given };
  share(document, INSTANCE_ID, uid);
  share(document, HOSTNAME, hostname);
  try {
    return { document: Buffer.from(String(document)), node: nodeOf(document.toJS({ mapAsMap: true })) };
  } catch {
    return { document: given, node: given }; // aliases that would make it grow without end
  }
}

function parse(given: Uint8Array): Document | undefined {
  const text = given.byteLength > MAX_META_DATA_BYTES ? undefined : textOf(given);
  if (text === undefined) return undefined;
  // uniqueKeys: the look for keys given twice takes time with the square of their number.
  const document = parseDocument(isBlank(text) ? '{}' : text, { schema: 'failsafe', uniqueKeys: false });
  if (document.errors.length > 0 || !isMap(document.contents)) return undefined;
  if (document.contents.items.length === 0) document.contents.flow = false;
  return document;
}

/** Nothing but comments: no error, and no mapping either. */
const isBlank = (text: string): boolean => text.split('\n').every((line) => /^\s*(?:#.*)?$/.test(line));

/** Gives both names one value: the first that is not empty, else the default. */
function share(document: Document, names: readonly string[], otherwise: string | undefined): void {
  const given = names.map((name) => document.get(name)).filter((value) => typeof value === 'string' && value !== '');
  const value = given[0] ?? otherwise;
  if (value === undefined) return;
  for (const name of names) if (document.get(name) !== value) document.set(name, value);
}

function nodeOf(value: unknown): Node {
  if (value instanceof Map)
    return new Map(
      [...value].map(([key, inner]) => [typeof key === 'string' ? key : JSON.stringify(key), nodeOf(inner)]),
    );
  if (Array.isArray(value)) return value.map(nodeOf);
  return Buffer.from(typeof value === 'string' ? value : '');
}

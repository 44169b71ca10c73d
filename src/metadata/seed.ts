import { networkConfig } from '../domain/network-config.ts';
import { metaDataOf } from './meta-data.ts';
import type { Node } from './node.ts';
import { decoded, type MetadataSource } from './source.ts';
import { vendorData } from './vendor-data.ts';

/** The metadata of one microVM, in the two forms in which it is read. */
export interface Seed {
  /** What cloud-init's NoCloud reads, and the user's other keys: each a file, by its name. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** The same as a tree: `meta-data` is a directory where it can be. */
  readonly tree: Node;
}

/** Beside the user's own keys there are always the four that cloud-init asks for: one that is missing costs it many tries. */
export function seedOf(source: MetadataSource): Seed {
  const given = new Map(Object.entries(source.metadata).map(([key, value]) => [key, decoded(value)] as const));
  const metaData = metaDataOf(given.get('meta-data') ?? Buffer.alloc(0), source);
  const files = new Map<string, Uint8Array>([
    ...given,
    ['meta-data', metaData.document],
    ['user-data', given.get('user-data') ?? Buffer.alloc(0)],
    ['vendor-data', vendorData(given.get('vendor-data'), source.volumes, source.nics)],
    ['network-config', given.get('network-config') ?? Buffer.from(networkConfig(source.nics))],
  ]);
  const latest = new Map<string, Node>([...files, ['meta-data', metaData.node]]);
  return { files, tree: new Map([['latest', latest]]) };
}

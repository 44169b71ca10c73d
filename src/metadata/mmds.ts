import type { MmdsVersion } from '../domain/metadata-rules.ts';
import type { ToldMetadata } from '../ports/metadata-server.ts';
import type { Store } from '../ports/store.ts';
import type { MetadataTree, MetadataValue } from '../ports/vmm.ts';
import { isDirectory, isValue, type Node } from './node.ts';
import { type Seed, seedOf } from './seed.ts';
import { sourceOf } from './source.ts';

/** What YAML's aliases make of one that is small may be far larger than all that a microVM may have. */
const MOST_OF_TREE = 65_536;

/**
 * What a VMM answers with: the documents that cloud-init's NoCloud reads, which asks as version 1 does. It knows no tokens, so
 * with version 2 `meta-data` can be what others ask for part by part.
 *
 * The VMM tells a name with and without a slash behind it alike: unlike the service's it is a document, or a directory.
 */
function mmdsOf({ files, tree }: Seed, version: MmdsVersion): MetadataTree {
  const documents = { latest: asTold(new Map(files)) };
  if (version === 'v1') return documents;
  const parts = asTold(tree);
  const isTree = typeof parts === 'object' && !Array.isArray(parts);
  const isSmall = isTree && JSON.stringify(parts).length <= JSON.stringify(documents).length + MOST_OF_TREE;
  return isSmall ? (parts as MetadataTree) : documents;
}

function asTold(node: Node): MetadataValue {
  // What is no text was refused when it was given.
  if (isValue(node)) return Buffer.from(node).toString('utf8');
  if (!isDirectory(node)) return node.map(asTold);
  return Object.fromEntries([...node].map(([name, inner]) => [name, asTold(inner)]));
}

/** What VMMs are told. */
export const createToldMetadata = (store: Pick<Store, 'metadataOf'>): ToldMetadata => ({
  of: (vm, nics, version) => mmdsOf(seedOf(sourceOf(vm, store.metadataOf(vm), nics)), version),
});

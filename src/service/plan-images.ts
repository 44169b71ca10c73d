import { Fault, type Violation } from '../domain/fault.ts';
import { pullPolicyOf, type Spec } from '../domain/spec.ts';
import type { ImageWay } from '../ports/images.ts';
import type { NeedsOf } from './needs.ts';

export type WayNeeds = NeedsOf<'images', 'way'>;

/** A reference, and the field that has it. */
export type ImageField = readonly [field: string, reference: string];

/**
 * Refuses what is not on this host and may not be pulled. It is looked at again when the image is held: what is here now may
 * be removed until then.
 *
 * @throws Fault `refused` ImageNotPulled, with all such fields
 */
export async function checkPulls({ images }: WayNeeds, spec: Spec, fields: readonly ImageField[]): Promise<void> {
  const policy = pullPolicyOf(spec);
  if (policy !== 'NEVER') return;
  const wrong: Violation[] = [];
  for (const [field, reference] of fields) {
    const way = await images.way(reference, policy);
    if (way.is === 'refused') wrong.push({ field, description: way.why });
  }
  if (wrong.length === 0) return;
  const why = [...new Set(wrong.map(({ description }) => description))].join('; ');
  throw new Fault('refused', `Cannot create microVM ${spec.namespace}/${spec.id}: ${why}`, {
    reason: 'ImageNotPulled',
    violations: wrong,
  });
}

/** Which registries would be asked for the images of a spec, and what would be pulled, a line for each image. */
export async function planImages({ images }: WayNeeds, spec: Spec): Promise<readonly string[]> {
  const { kernel, initrd, volumes } = spec;
  const references = new Set([kernel.image, ...(initrd ? [initrd.image] : []), ...volumes.map(({ image }) => image)]);
  const lines: string[] = [];
  for (const reference of references)
    lines.push(`image: ${textOf(reference, await images.way(reference, pullPolicyOf(spec)))}`);
  return lines;
}

function textOf(reference: string, way: ImageWay): string {
  switch (way.is) {
    case 'local':
      return `${reference} is read from this host, and unpacked unless it is in the cache`;
    case 'cached':
      return `${reference} is in the cache (${way.digest}): no registry is asked`;
    case 'look-up':
      return way.digest === undefined
        ? `the registry is asked where ${reference} leads, and it is pulled: it is not in the cache`
        : `the registry is asked where ${reference} leads, and it is pulled unless that is still ${way.digest}`;
    case 'pull':
      return `${reference} is pulled: it is not in the cache`;
    case 'refused':
      return way.why;
    default:
      return way satisfies never;
  }
}

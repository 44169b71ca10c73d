import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Fault } from '../domain/fault.ts';
import type { Images } from '../ports/images.ts';
import type { Config } from './settings.ts';

/** Where `npm run setup` puts the demo images of a checkout. */
const CHECKOUT_DEMO = join(import.meta.dirname, '../../.cache/images/demo');

/**
 * The image that `flintlock run` boots. `auto` is the layout `demo` of the
 * first --image-root that has one, else the checkout's own, if it is there and
 * below an --image-root: what clients may name stays what was allowed by hand.
 *
 * @returns empty where there is none
 * @throws Fault `invalid` when the one that was asked for cannot be used
 */
export async function demoKernelOf(
  { 'demo-kernel': wanted, 'image-root': roots }: Pick<Config, 'demo-kernel' | 'image-root'>,
  images: Pick<Images, 'check'>,
  checkout = CHECKOUT_DEMO,
): Promise<string> {
  if (wanted === 'none') return '';
  if (wanted !== 'auto') {
    const wrong = await images.check(wanted);
    if (wrong !== undefined) throw new Fault('invalid', `Cannot use --demo-kernel ${wanted}: ${wrong}`);
    return wanted;
  }
  for (const layout of [...roots.map((root) => join(root, 'demo')), checkout]) {
    const reference = `oci:${layout}:kernel`;
    if (existsSync(layout) && (await images.check(reference)) === undefined) return reference;
  }
  return '';
}

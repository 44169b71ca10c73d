import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Fault } from '../domain/fault.ts';
import type { Images } from '../ports/images.ts';
import type { Config } from './settings.ts';

/** Where `npm run setup` puts the demo images of a checkout. */
const CHECKOUT_DEMO = join(import.meta.dirname, '../../.cache/images/demo');

/**
 * The image that `flintlock run` boots. `auto` is the checkout's own, if it is
 * there and below an --image-root: what clients may name stays what was
 * allowed by hand.
 *
 * @returns empty where there is none
 * @throws Fault `invalid` when the one that was asked for cannot be used
 */
export async function demoKernelOf(
  { 'demo-kernel': wanted }: Pick<Config, 'demo-kernel'>,
  images: Pick<Images, 'check'>,
  checkout = CHECKOUT_DEMO,
): Promise<string> {
  if (wanted === 'none') return '';
  if (wanted !== 'auto') {
    const wrong = await images.check(wanted);
    if (wrong !== undefined) throw new Fault('invalid', `Cannot use --demo-kernel ${wanted}: ${wrong}`);
    return wanted;
  }
  const reference = `oci:${checkout}:kernel`;
  return existsSync(checkout) && (await images.check(reference)) === undefined ? reference : '';
}

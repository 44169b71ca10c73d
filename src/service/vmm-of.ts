import { type Provided, providerOf } from '../domain/provider-of.ts';
import type { Vmm } from '../ports/vmm.ts';
import type { Needs } from './needs.ts';

/** The VMM of a microVM; undefined where this daemon has no such provider, or the record tells none. */
export function vmmOf({ vmms }: Needs<'vmms'>, vm: Provided): Vmm | undefined {
  const provider = providerOf(vm);
  return vmms.find(({ name }) => name === provider);
}

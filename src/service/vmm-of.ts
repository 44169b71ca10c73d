import { type Provided, providerOf } from '../domain/provider-of.ts';
import type { Vmm } from '../ports/vmm.ts';
import type { Needs } from './needs.ts';

/** The VMM of a microVM; undefined where this daemon has no such provider. */
export function vmmOf({ vmms, defaultVmms }: Needs<'vmms' | 'defaultVmms'>, vm: Provided): Vmm | undefined {
  const provider = providerOf(vm);
  return provider === '' ? defaultVmms[0] : vmms.find(({ name }) => name === provider);
}

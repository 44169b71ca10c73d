import { Fault } from '../domain/fault.ts';
import type { Vmm } from '../ports/vmm.ts';

export interface VmmsBy {
  /** @throws Fault `refused` when there is no such provider; empty: that of records which tell none */
  vmmOf(provider: string): Vmm;
  /** In the order in which they are tried for a spec that names none. */
  readonly defaultVmms: readonly [Vmm, ...Vmm[]];
}

/**
 * VMMs by their names.
 * @param byDefault - names, one at least, each of a VMM
 * @param untold - the name of the one of records that tell none
 */
export function vmmsBy(vmms: readonly Vmm[], byDefault: readonly string[], untold: string): VmmsBy {
  const named = (provider: string): Vmm => {
    const found = vmms.find(({ name }) => name === provider);
    if (!found) throw new Fault('refused', `There is no provider "${provider}"`, { reason: 'ProviderUnavailable' });
    return found;
  };
  const [first, ...others] = byDefault.map(named);
  if (!first) throw new Error('no provider is the default');
  return { vmmOf: (provider) => named(provider === '' ? untold : provider), defaultVmms: [first, ...others] };
}

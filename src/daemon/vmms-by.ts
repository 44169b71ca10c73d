import { Fault } from '../domain/fault.ts';
import type { Vmm } from '../ports/vmm.ts';

export interface VmmsBy {
  /** @throws Fault `refused` when there is no such provider; empty: the first default */
  vmmOf(provider: string): Vmm;
  /** In the order in which they are tried for a spec that names none. */
  readonly defaultVmms: readonly [Vmm, ...Vmm[]];
}

/** VMMs by their names. @param byDefault - names, one at least, each of a VMM */
export function vmmsBy(vmms: readonly Vmm[], byDefault: readonly string[]): VmmsBy {
  const named = (provider: string): Vmm => {
    const found = vmms.find(({ name }) => name === provider);
    if (!found) throw new Fault('refused', `There is no provider "${provider}"`, { reason: 'ProviderUnavailable' });
    return found;
  };
  const [first, ...others] = byDefault.map(named);
  if (!first) throw new Error('no provider is the default');
  return { vmmOf: (provider) => (provider === '' ? first : named(provider)), defaultVmms: [first, ...others] };
}

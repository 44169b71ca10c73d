import type { Vmm } from '../ports/vmm.ts';

type Usable = Pick<Vmm, 'capabilities'> & { info(): Promise<{ readonly available: boolean }> };

/** Where a spec goes that names no provider, and asks for nothing that one may lack. */
export async function usableDefault<V extends Usable>({
  defaultVmms,
}: {
  readonly defaultVmms: readonly [V, ...V[]];
}): Promise<V> {
  for (const vmm of defaultVmms) if ((await vmm.info()).available) return vmm;
  return defaultVmms[0];
}

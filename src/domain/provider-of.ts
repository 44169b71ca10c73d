import type { MicroVm } from './microvm.ts';
import type { Spec } from './spec.ts';

/** What tells the provider of a microVM. */
export type Provided = Pick<MicroVm, 'made' | 'allocation'> & { readonly spec: Pick<Spec, 'provider'> };

/** The provider of a microVM: it stays the same for its whole life. Empty: the record tells none, because its version knew but one. */
export const providerOf = ({ made, allocation, spec }: Provided): string =>
  made.provider ?? allocation.provider ?? spec.provider;

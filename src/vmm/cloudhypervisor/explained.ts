import { Fault } from '../../domain/fault.ts';
import { withPaths } from './opened.ts';

const HIDDEN =
  'Landlock lets this Cloud Hypervisor open its kernel, its initrd, its disks and what lies below them, and no other file; --cloudhypervisor-landlock off does without';
const CLOSED = "the microVM's own user may not open it, as which its Cloud Hypervisor runs";

/**
 * What Cloud Hypervisor has against a machine, with the host's paths in it, and why where a file was kept from it.
 * @param isConfined - by Landlock
 */
export function explained(
  refusal: unknown,
  { config, isConfined }: { readonly config: Parameters<typeof withPaths>[1]; readonly isConfined: boolean },
): unknown {
  if (!(refusal instanceof Fault) || refusal.reason !== 'ProviderRefused') return refusal;
  const named = withPaths(refusal.message, config);
  const isKept = /Permission denied|os error 13/.test(named);
  const message = isKept ? `${named}: ${isConfined ? HIDDEN : CLOSED}` : named;
  if (message === refusal.message) return refusal;
  return new Fault(refusal.kind, message, { reason: 'ProviderRefused', cause: refusal });
}

import type { Spec } from './spec.ts';

/** What a record has beside what may be long. */
const REST_BYTES = 4_096;
/** As it was read, as it is sent, and what is in between. */
const COPIES = 3;

/** About how much memory records take, with their metadata, while they are read and sent: bytes. */
export function weightOf(vms: readonly { readonly spec: Pick<Spec, 'metadataRef'> }[]): number {
  let bytes = 0;
  for (const { spec } of vms) bytes += REST_BYTES + (spec.metadataRef?.bytes ?? 0);
  return bytes * COPIES;
}

import type { MicroVm } from './microvm.ts';

/** What a record has beside what may be long. */
const REST_BYTES = 4_096;
/** As it was read, as it is sent, and what is in between. */
const COPIES = 3;

/** About how much memory records take while they are read and sent, in bytes. */
export function weightOf(vms: readonly MicroVm[]): number {
  let bytes = 0;
  for (const { spec } of vms) {
    bytes += REST_BYTES;
    for (const value of Object.values(spec.metadata)) bytes += value.length;
  }
  return bytes * COPIES;
}

import { Fault } from '../domain/fault.ts';
import { metadataBy } from '../domain/metadata-rules.ts';
import type { AllocatedInterface, MicroVm } from '../domain/microvm.ts';
import type { InterfaceSpec } from '../domain/spec.ts';
import type { Planned } from './step.ts';

export const nicOf = ({ spec }: Planned, nic: string): InterfaceSpec | undefined =>
  spec.interfaces.find(({ name }) => name === nic);

/** The names of the interfaces that have taps, in their order. */
export const tapsOf = (vm: Planned): readonly string[] => namesOf(vm, 'TAP');
/** The same of those with macvtaps. */
export const macvtapsOf = (vm: Planned): readonly string[] => namesOf(vm, 'MACVTAP');

const namesOf = ({ spec }: Planned, type: InterfaceSpec['type']): readonly string[] =>
  spec.interfaces.filter((nic) => nic.type === type).map(({ name }) => name);

/** Whether an interface of this type may ask the daemon for metadata. */
export const asks = ({ spec }: Planned, type: InterfaceSpec['type']): boolean =>
  metadataBy(spec).service && spec.interfaces.some((nic) => nic.type === type && nic.allowMetadata);

/** @throws Fault `tool` for an interface that the microVM does not have */
export function allocatedTo({ uid, allocation }: MicroVm, nic: string): AllocatedInterface {
  const allocated = allocation.interfaces[nic];
  if (!allocated) throw new Fault('tool', `microVM ${uid} has no MAC address for interface "${nic}"`);
  return allocated;
}

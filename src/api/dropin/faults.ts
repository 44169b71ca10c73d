import { Fault, type Violation } from '../../domain/fault.ts';
import { shorten } from '../../domain/labels.ts';
import type { MicroVMSpec } from '../../gen/dropin/types/microvm_pb.ts';
import { volumesOf } from './from-wire.ts';

/** An error of a create in the names that this API's fields have. What names no fields stays as it is. */
export function inOurNames(error: unknown, spec: MicroVMSpec): unknown {
  if (!(error instanceof Fault) || error.violations.length === 0) return error;
  const names = volumesOf(spec).map(({ name }) => name);
  const violations = error.violations.map(({ field, description }) => renamed(field, description, names));
  if (error.kind !== 'invalid') {
    const { kind, message, reason, terminal } = error;
    return new Fault(kind, message, { violations, terminal, ...(reason && { reason }) });
  }
  // Said already: it has no container_source because it has a virtiofs_source.
  const virtiofs = new Set(violations.map(({ field }) => field).filter((field) => field.endsWith('.virtiofs_source')));
  return Fault.invalid(
    violations.filter(
      ({ field }) => !virtiofs.has(field.replace(/\.container_source$/, '.virtiofs_source')) || virtiofs.has(field),
    ),
  );
}

function renamed(field: string, description: string, volumes: readonly string[]): Violation {
  if (field === 'volumes')
    return description.includes('must be is_root')
      ? { field: 'root_volume', description: 'is required, unless an initrd is given' }
      : { field: 'additional_volumes', description };
  const text = (words: string): string =>
    words
      .replaceAll(/(?<!additional_)\bvolumes\[(\d+)\]/g, (whole, index: string) => volumes[Number(index)] ?? whole)
      .replaceAll('guest_device_name', 'device_id');
  return { field: text(field).replace(/^(interfaces\[\d+\]\.address)$/, '$1.address'), description: text(description) };
}

/** Clients look for these very words: `not found` in any text, and the code NOT_FOUND. */
export const notFound = (verb: string, uid: string): Fault =>
  new Fault('not_found', `Cannot ${verb} microvm: microvm spec ${shorten(uid)} not found`);

/**
 * The Cluster API provider asks so for what was never created, and gives up on
 * it only when it reads `not found`.
 */
export const noUid = (): Fault => Fault.invalid([{ field: 'uid', description: 'is required, microvm not found' }]);

const OTHER_API =
  'is sent with the fields of flintlock.microvm.v1.MicroVMService, whose tags mean something else here: ' +
  'call that service, or send root_volume, additional_volumes, interfaces and metadata with the tags 8, 9, 10 and 11';

/**
 * The native API's volumes have this one's tag, and types that fit: the bytes
 * of its source come out as a partition_id, which begins as no text does.
 */
export function refuseNative({ rootVolume }: MicroVMSpec): void {
  if (rootVolume && !rootVolume.source && rootVolume.partitionId?.startsWith('\n'))
    throw Fault.invalid([{ field: 'microvm', description: OTHER_API }]);
}

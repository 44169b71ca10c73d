import { Fault } from '../domain/fault.ts';
import { vmStateDirectory } from '../domain/names.ts';
import { factOf, type StepResults } from './facts.ts';
import type { StepDef } from './step.ts';

/** One volume's disk. A read-only one is the shared disk image itself; any other is a copy of this microVM's own. */
export const volume: StepDef<
  'volume',
  {
    image: string;
    path: string;
    readOnly: boolean;
    sizeInMb: number | null;
    /** A record of an earlier version has none. */
    partitionUuid?: string | null;
  },
  StepResults['volume']
> = {
  timeoutMs: 900_000,
  lane: 'disks',
  onTimeout: 'Timeout',

  intent({ id }, { vm, ports: { names, volumes } }) {
    const index = vm.spec.volumes.findIndex((v) => v.id === id);
    const spec = vm.spec.volumes[index];
    if (!spec) throw new Fault('tool', `microVM ${vm.uid} has no volume "${id}"`);
    return {
      image: spec.image,
      path: volumes.pathFor(vmStateDirectory(names, vm.uid), index),
      readOnly: spec.isReadOnly,
      sizeInMb: spec.sizeInMb ?? null,
      partitionUuid: spec.partitionId ?? null,
    };
  },

  async make(
    { image, path, readOnly, sizeInMb, partitionUuid = null },
    { entries, ports: { images, volumes }, signal },
  ) {
    const { digest, tree } = factOf(entries, 'image', image);
    const golden = await images.golden(
      { digest, tree },
      { signal, ...(sizeInMb !== null && { sizeInMb }), ...(partitionUuid !== null && { partitionUuid }) },
    );
    if (readOnly) return { digest, path: golden.path, format: 'raw', sizeInMb: golden.sizeInMb };
    return { digest, ...(await volumes.make(golden, path, signal)) };
  },

  async unmake({ path, readOnly }, _result, { ports: { volumes }, signal }) {
    if (!readOnly) await volumes.remove(path, signal);
  },

  show:
    ({ id }, _intent, { digest, path, sizeInMb }) =>
    (made) => ({ ...made, volumes: { ...made.volumes, [id]: { digest, path, sizeInMb } } }),
};

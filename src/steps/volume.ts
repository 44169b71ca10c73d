import { z } from 'zod';
import { Fault } from '../domain/fault.ts';
import { vmStateDirectory } from '../domain/names.ts';
import { providerOf } from '../domain/provider-of.ts';
import type { Disk } from '../ports/volumes.ts';
import { factOf } from './facts.ts';
import { maybe, number, text } from './row.ts';
import type { Planned, VmStepDef } from './step.ts';

export interface VolumeIntent {
  readonly image: string;
  readonly path: string;
  readonly readOnly: boolean;
  readonly sizeInMb: number | null;
  readonly partitionUuid: string | null;
}

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    volume: { intent: VolumeIntent; result: Disk & { readonly digest: string } };
  }
}

/** One volume's disk. A read-only one is the shared disk image itself; any other is a copy of this microVM's own. */
export const volume: VmStepDef<'volume'> = {
  row: {
    version: 1,
    intent: z.strictObject({
      image: text,
      path: text,
      readOnly: z.boolean(),
      sizeInMb: number.nullable(),
      partitionUuid: text.nullable().default(null),
    }),
    result: z.strictObject({
      digest: text,
      path: text,
      format: z.enum(['raw', 'qcow2']),
      backing: maybe(text),
      sizeInMb: number,
    }),
  },
  timeoutMs: 900_000,
  lane: 'disks',
  after: ['image', 'directory'],
  onTimeout: 'Timeout',
  condition: 'DisksReady',
  atBoot: 'stays',
  wanted: ({ spec }) => spec.volumes.map(({ id }) => id),
  says(key, vm) {
    const { sizeInMb, isReadOnly = false, image = 'its image' } = volumeOf(vm, key) ?? {};
    const size = sizeInMb === undefined ? '' : ` of ${sizeInMb} MiB`;
    return `make a ${isReadOnly ? 'read-only' : 'writable'} disk${size} from ${image}`;
  },

  intent(key, { vm, ports: { names, volumes, vmm } }) {
    const spec = volumeOf(vm, key);
    if (!spec) throw new Fault('tool', `microVM ${vm.uid} has no volume "${key}"`);
    const { diskFormats } = vmm(providerOf(vm)).capabilities;
    return {
      image: spec.image,
      path: volumes.pathFor(vmStateDirectory(names, vm.uid), vm.spec.volumes.indexOf(spec), diskFormats),
      readOnly: spec.isReadOnly,
      sizeInMb: spec.sizeInMb ?? null,
      partitionUuid: spec.partitionId ?? null,
    };
  },

  async make({ image, path, readOnly, sizeInMb, partitionUuid }, { entries, vm, ports: { images, volumes }, signal }) {
    const { digest, tree } = factOf(entries, 'image', image);
    const golden = await images.golden(
      { digest, tree },
      {
        signal,
        whose: vm.spec.namespace,
        ...(sizeInMb !== null && { sizeInMb }),
        ...(partitionUuid !== null && { partitionUuid }),
      },
    );
    if (readOnly) return { digest, path: golden.path, format: 'raw', sizeInMb: golden.sizeInMb };
    return { digest, ...(await volumes.make(golden, path, signal)) };
  },

  async unmake({ path, readOnly }, _result, { ports: { volumes }, signal }) {
    if (!readOnly) await volumes.remove(path, signal);
  },

  show:
    (key, _intent, { digest, path, sizeInMb }) =>
    (made) => ({ ...made, volumes: { ...made.volumes, [key]: { digest, path, sizeInMb } } }),

  expect({ intent: { path, readOnly }, made }, to) {
    if (!readOnly) to.thing('file', path);
    if (!made) to.thing('file', `${path}.partial`, false);
  },
};

const volumeOf = ({ spec }: Planned, key: string) => spec.volumes.find(({ id }) => id === key);

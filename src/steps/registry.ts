import type { VmStepKind } from '../domain/ledger.ts';
import { cidata } from './cidata.ts';
import { directory } from './directory.ts';
import { guard } from './guard.ts';
import { image } from './image.ts';
import { lease } from './lease.ts';
import { macvtap } from './macvtap.ts';
import { macvtapMetadata } from './macvtap-metadata.ts';
import { metadata } from './metadata.ts';
import { publish } from './publish.ts';
import type { StepDef } from './step.ts';
import { tap } from './tap.ts';
import { vmm } from './vmm.ts';
import { volume } from './volume.ts';

const all = {
  ...{ image, directory, volume, cidata, lease, guard, tap, macvtap, publish, metadata, vmm },
  'macvtap-metadata': macvtapMetadata,
};

/** Each kind's definition; a kind without one does not compile. What an intent holds only its own file knows. */
export const steps = all as unknown as { readonly [K in VmStepKind]: StepDef<K, unknown, unknown> };
all satisfies Record<VmStepKind, unknown>;

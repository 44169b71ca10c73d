import type { CacheKind, HostStepKind, LedgerKind, VmStepKind } from '../domain/ledger.ts';
import type { LedgerSchemas } from '../ports/ledger.ts';
import { bridge } from './bridge.ts';
import { cidata } from './cidata.ts';
import { dhcp } from './dhcp.ts';
import { directory } from './directory.ts';
import { firewall } from './firewall.ts';
import { fittedKernel } from './fitted-kernel.ts';
import { forwarding } from './forwarding.ts';
import { golden } from './golden.ts';
import { guard } from './guard.ts';
import { guards } from './guards.ts';
import { image } from './image.ts';
import { imageTree } from './image-tree.ts';
import { lease } from './lease.ts';
import { macvtap } from './macvtap.ts';
import { macvtapGuards } from './macvtap-guards.ts';
import { macvtapMetadata } from './macvtap-metadata.ts';
import { macvtapPath } from './macvtap-path.ts';
import { metadata } from './metadata.ts';
import { metadataPath } from './metadata-path.ts';
import { probe } from './probe.ts';
import { publish } from './publish.ts';
import { publishing } from './publishing.ts';
import { readRow } from './row.ts';
import type { CacheStepDef, HostStepDef, KindDef, VmStepDef } from './step.ts';
import { tap } from './tap.ts';
import { vmm } from './vmm.ts';
import { volume } from './volume.ts';

/** Each kind's definition; a kind without one does not compile. */
export const vmSteps: { readonly [K in VmStepKind]: VmStepDef<K> } = {
  ...{ image, directory, volume, cidata, lease, guard, tap, macvtap, publish, metadata, vmm },
  'macvtap-metadata': macvtapMetadata,
};

export const hostSteps: { readonly [K in HostStepKind]: HostStepDef<K> } = {
  ...{ forwarding, bridge, firewall, guards, publishing, dhcp, probe },
  'metadata-path': metadataPath,
  'macvtap-guards': macvtapGuards,
  'macvtap-path': macvtapPath,
};

const cacheSteps: { readonly [K in CacheKind]: CacheStepDef<K> } = {
  golden,
  'image-tree': imageTree,
  'fitted-kernel': fittedKernel,
};

export const kinds: { readonly [K in LedgerKind]: KindDef<K> } = { ...vmSteps, ...hostSteps, ...cacheSteps };

/** How the ledger's rows are written and read. */
export const schemas: LedgerSchemas = {
  versionOf: (kind) => kinds[kind].row.version,
  read: (row) => readRow(kinds, row),
};
